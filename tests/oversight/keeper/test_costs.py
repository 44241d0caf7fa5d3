"""What the keeper's calls of models cost: booked whatever becomes of the verdict, and held to the budgets."""

import asyncio
from typing import Any

import pytest

from resolvers.instance.completions import Completed, CompletionFailed, CompletionRequest, Model
from tests.oversight.keeper.conftest import EXECUTE, ScriptedModel, Ship, verdict
from tests.oversight.keeper.test_evaluators import judged
from tests.world import World

pytestmark = pytest.mark.anyio
COST = 6_000
ASKED = {"crew_id": "crew", "agent_id": "agent"}


@pytest.fixture(autouse=True)
async def nothing_spent(world: World) -> None:
    for table in ("model_calls", "cost_days", "budget_spends", "call_reservations", "budgets"):
        await world.database.execute(f"DELETE FROM {table}")


@pytest.fixture
def dear(model: ScriptedModel, monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    """Each call costs something, and money is set aside for it: 3,000 at most."""

    async def complete(asked: Model, question: CompletionRequest) -> Completed:
        await asyncio.sleep(0)
        said = await ScriptedModel.complete(model, asked, question)
        return Completed(said.text, said.input_tokens, said.output_tokens, cost_micros=COST)

    monkeypatch.setattr(model, "complete", complete)
    monkeypatch.setattr("resolvers.instance.prices.price", lambda *_, **__: 0.003)
    return model


async def budget(world: World, amount: float, **of: str) -> None:
    answer = await world.rest(world.owner, "POST", "/api/v1/budgets", {"period": "total", "amount_usd": amount} | of)
    assert answer.status_code == 201, answer.text


async def execute(ship: Ship) -> dict[str, Any]:
    return await ship.decided(EXECUTE, "mid", command="gh pr list", container_id=ship.crew.id)


async def test_each_call_is_booked_for_its_agent(evaluators: Ship, world: World, dear: ScriptedModel) -> None:
    await budget(world, 1)
    dear.answer = verdict("ALLOW")
    agent, crew = evaluators.agent.id, evaluators.crew.id
    made = [await judged(evaluators, "behavior", agent_id=agent), await evaluators.decided(credential="mid")]
    calls = await world.database.fetch("SELECT * FROM model_calls ORDER BY created_at")
    assert [row["run_id"] for row in calls] == [each["request_id"] for each in made]
    assert [(row["provider"], row["model"]) for row in calls] == [("ollama", "small"), ("ollama", "judge")]
    assert {(row["agent_id"], row["crew_id"], row["cost_micros"]) for row in calls} == {(agent, crew, COST)}
    (small, judge) = await world.database.fetch("SELECT * FROM cost_days ORDER BY model DESC")
    assert {(day["agent_id"], day["crew_id"], day["cost_micros"]) for day in (small, judge)} == {(agent, crew, COST)}
    assert await world.database.fetchval("SELECT sum(micros) FROM budget_spends") == 2 * COST
    assert await world.database.fetchval("SELECT count(*) FROM call_reservations") == 0
    asked = {"workspace_id": world.workspace.id, "entry_type": "llm.call", "trace_id": made[1]["request_id"]}
    async with world.client(world.owner) as client:
        (entry,) = (await client.get("/api/v1/journal", params=asked)).json()["entries"]
    assert (entry["actor_type"], entry["severity"], entry["payload"]["cost_usd"]) == ("system", "info", COST / 1e6)


async def test_a_model_that_fails_costs_nothing(ship: Ship, world: World, dear: ScriptedModel) -> None:
    await budget(world, 1)
    dear.answer = CompletionFailed("down")
    assert (await ship.decided(credential="mid"))["decision"] == "DENY"
    for table in ("model_calls", "budget_spends", "call_reservations"):
        assert await world.database.fetchval(f"SELECT count(*) FROM {table}") == 0


@pytest.mark.parametrize("of", ["", "crew_id", "agent_id"])
async def test_a_budget_that_is_spent_asks_people(evaluators: Ship, world: World, dear: ScriptedModel, of: str) -> None:
    """Of the workspace, the crew and the agent. Nothing is allowed, and nothing waits; rules go on allowing."""
    ship, dear.answer = evaluators, verdict("ALLOW")
    await budget(world, 0.005, **({of: getattr(ship, ASKED[of]).id} if of else {}))
    assert (await ship.decided(credential="mid"))["decision"] == "ALLOW"
    assert len(dear.asked) == 1
    asked, ran = await ship.decided(credential="mid"), await execute(ship)
    behavior = await judged(ship, "behavior", agent_id=ship.agent.id)
    assert {(each["decision"], each["risk_score"]) for each in (asked, ran, behavior)} == {("ESCALATE", 10)}
    assert behavior["should_block"] is False
    assert "output" not in ran
    assert "budget" in asked["reason"]
    item = await world.rest(world.manager, "GET", f"/api/v1/inbox/ibx_escalation_{asked['request_id']}")
    assert item.status_code == 200
    assert (await ship.decided())["decision"] == "ALLOW"
    assert len(dear.asked) == 1


async def test_calls_at_once_do_not_spend_more_than_there_is(ship: Ship, world: World, dear: ScriptedModel) -> None:
    """Each sets aside what it may cost before it is made."""
    await budget(world, 0.01)
    dear.answer = verdict("ALLOW")
    decided = await asyncio.gather(*(ship.decided(credential="mid") for _ in range(8)))
    allowed = [each for each in decided if each["decision"] == "ALLOW"]
    assert {each["decision"] for each in decided} == {"ALLOW", "ESCALATE"}
    assert len(dear.asked) == len(allowed) <= 3
