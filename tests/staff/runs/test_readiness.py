"""What an agent lacks to answer is what the start of its run would refuse it for."""

from typing import Any

import pytest

from models.attention.approvals import ApprovalGate, ApprovalMode
from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope, BudgetSpend
from models.staff.agents import Agent, AgentStatus, LlmProvider
from models.staff.crews import Crew
from models.work.missions import Mission
from models.work.work_pauses import WorkPause
from models.workers import Worker
from resolvers.instance.ports import NotRun
from resolvers.instance.running import instance
from tests.world import World, now

pytestmark = pytest.mark.anyio
ASK = """query($ws: ID, $agent: ID!) {
    agentReadiness(workspaceId: $ws, agentId: $agent) {
        ready lacks { reason message } holds { reason message missionId } } }"""


async def agent_of(world: World, **values: Any) -> Agent:
    slug = f"a{new_id()}"
    made = Agent(**{"name": slug, "slug": slug, "workspace_id": world.workspace.id} | values)
    await world.add(made)
    return made


async def lacks(world: World, agent: Agent) -> dict[str, str]:
    answer = await world.graphql(world.viewer, ASK, {"agent": agent.id})
    found = answer["data"]["agentReadiness"]
    assert found["ready"] is not bool(found["lacks"])
    return {each["reason"]: each["message"] for each in found["lacks"]}


def setting(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update=changes))


@pytest.fixture
async def worker(world: World) -> None:
    await world.add(Worker(id=new_id(), seen_at=now()))


async def test_a_key_and_a_worker_are_missing(world: World) -> None:
    await world.database.execute("DELETE FROM workers")
    found = await lacks(world, await agent_of(world))
    assert set(found) == {"key", "worker"}
    assert found["key"].startswith("No key for ANTHROPIC is configured. Set ANTHROPIC_API_KEY")


async def test_a_credential_of_the_agent_makes_it_ready(world: World, worker: None) -> None:
    agent = await agent_of(world)
    assert set(await lacks(world, agent)) == {"key"}
    sent = {"name": f"k{new_id()}", "type": "API_KEY", "provider": "ANTHROPIC", "value": "sk-of-a-test-0123456789"}
    made = (await world.rest(world.owner, "POST", "/api/v1/credentials", sent)).json()
    given = {"credential_id": made["id"], "env_var_name": "ANTHROPIC_API_KEY"}
    assert (await world.rest(world.owner, "POST", f"/api/v1/agents/{agent.id}/credentials", given)).status_code == 201
    assert await lacks(world, agent) == {}
    await world.database.execute("UPDATE credentials SET status = 'EXPIRED' WHERE id = $1", made["id"])
    assert set(await lacks(world, agent)) == {"key"}


async def test_a_model_is_missing_where_none_is_listed(
    world: World, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, ollama_base_url="http://127.0.0.1:9")
    agent = await agent_of(world, llm_provider=LlmProvider.OLLAMA)
    assert set(await lacks(world, agent)) == {"model"}
    assert await lacks(world, await agent_of(world, llm_provider=LlmProvider.OLLAMA, llm_model="llama3")) == {}
    other = await lacks(world, await agent_of(world, llm_provider=LlmProvider.CURSOR))
    assert other["model"].startswith("Agents with the provider CURSOR cannot run here.")


async def test_who_waits_or_is_over_cannot_answer(world: World, worker: None, monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, run_adapter="scripted")
    assert await lacks(world, await agent_of(world)) == {}
    assert set(await lacks(world, await agent_of(world, status=AgentStatus.PENDING_REVIEW))) == {"review"}
    assert set(await lacks(world, await agent_of(world, ephemeral=True, expired_at=now()))) == {"hire"}


async def test_a_spent_budget_stops_it_without_a_figure(
    world: World, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, run_adapter="scripted")
    agent = await agent_of(world)
    budget = Budget(
        scope=BudgetScope.agent, agent_id=agent.id, period=BudgetPeriod.total, amount_micros=5,
        reservation_micros=1, hard_stop=True, workspace_id=world.workspace.id,
    )  # fmt: skip
    await world.add(budget)
    assert await lacks(world, agent) == {}
    spent = {"budget_id": budget.id, "span": "total", "slot": 0, "micros": 5, "workspace_id": world.workspace.id}
    await world.add(BudgetSpend(**spent))
    assert await lacks(world, agent) == {"budget": "The budget of the agent is spent, or reserved for active runs."}
    await world.database.execute("UPDATE budgets SET hard_stop = false WHERE id = $1", budget.id)
    assert await lacks(world, agent) == {}


async def holds(world: World, agent: Agent) -> list[tuple[str, str, str | None]]:
    answer = await world.graphql(world.viewer, ASK, {"agent": agent.id})
    found = answer["data"]["agentReadiness"]["holds"]
    return [(each["reason"], each["message"], each["missionId"]) for each in found]


async def test_paused_work_and_gates_are_what_will_stop_it(
    world: World, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, run_adapter="scripted")
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    crew, other = (Crew(name=name, slug=f"c{new_id()}", **here) for name in ("Deck", "Other"))
    await world.add(crew, other)
    agent = await agent_of(world, crew_id=crew.id)
    assert await holds(world, agent) == []
    mission = Mission(title="Voyage", crew_id=crew.id, trace_id=new_id(), lead_agent_id=agent.id, **here)
    await world.add(mission)
    await world.add(
        WorkPause(agent_id=agent.id, mission_id=mission.id, runs=5, **here),
        ApprovalGate(pattern="git_*", mode=ApprovalMode.sync, agent_id=agent.id, **here),
        ApprovalGate(pattern="GIT_push", mode=ApprovalMode.sync, **here),
        ApprovalGate(pattern="read", mode=ApprovalMode["async"], **here),
        ApprovalGate(pattern="sail", mode=ApprovalMode.sync, crew_id=other.id, **here),
    )
    paused = "Work on Voyage is paused: the last runs there made no progress."
    assert await holds(world, agent) == [
        ("work_pause", paused, mission.id), ("approval", "Calls of git_* wait for an approval.", None)
    ]  # fmt: skip
    assert await lacks(world, agent) == {}
    await world.database.execute("UPDATE work_pauses SET resumed_at = now() WHERE agent_id = $1", agent.id)
    assert [reason for reason, *_ in await holds(world, agent)] == ["approval"]


async def test_the_engine_is_missing_where_the_crew_needs_a_container(
    world: World, worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Engine:
        async def images(self) -> list[Any]:
            raise NotRun("the socket refuses")

    setting(monkeypatch, run_adapter="scripted", runtime_image=None)
    monkeypatch.setattr(instance, "containers", Engine())
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    plain = Crew(name="Plain", slug=f"c{new_id()}", **here)
    made = Crew(name="Made", slug=f"c{new_id()}", runtime_image="python:3.12", **here)
    await world.add(plain, made)
    assert await lacks(world, await agent_of(world, crew_id=plain.id)) == {}
    said = {"engine": "The container engine does not answer: the socket refuses"}
    assert await lacks(world, await agent_of(world, crew_id=made.id)) == said
    monkeypatch.setattr(instance, "containers", None)
    assert await lacks(world, await agent_of(world, crew_id=made.id)) == {}
