"""Model calls that programs elsewhere report."""

from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.work.missions import Mission
from tests.every import each_of
from tests.resources.costs.test_budgets import crewed, made
from tests.staff.runs.logbook import bound, master
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/internal/cost/record"
CALL = {"provider": "anthropic", "model": "claude-sonnet-4-5", "input_tokens": 1000, "output_tokens": 500}


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    for table in ("model_calls", "cost_days", "budgets", "budget_spends", "model_prices"):
        await world.database.execute(f"DELETE FROM {table}")


async def reported(world: World, body: dict[str, Any], token: str | None = "") -> httpx2.Response:
    """The report of a program; an empty token is the master token."""
    given = {} if token is None else {"x-internal-token": token or master(world)}
    async with world.client(None, **given) as client:
        return await client.post(PATH, json=body)


async def recorded(world: World, token: str = "", **body: Any) -> dict[str, Any]:
    sent = {"workspace_id": world.workspace.id} | CALL | body
    answer = await reported(world, sent, token)
    assert answer.status_code == 202, answer.text
    assert list(answer.json()) == ["id"]
    row = await world.database.fetchrow("SELECT * FROM model_calls WHERE id = $1", answer.json()["id"])
    return dict(row)


async def refused(world: World, status: int, token: str | None = "", **body: Any) -> str:
    sent = {name: value for name, value in ({"workspace_id": world.workspace.id} | CALL | body).items() if value != ...}
    answer = await reported(world, sent, token)
    assert answer.status_code == status, answer.text
    for table in ("model_calls", "cost_days"):
        assert await world.database.fetchval(f"SELECT count(*) FROM {table}") == 0
    return answer.text


async def test_a_call_enters_the_ledger_the_sums_and_the_budgets(world: World) -> None:
    crew, mate = await crewed(world)
    here = {"workspace_id": world.workspace.id, "crew_id": crew.id, "lead_agent_id": mate.id}
    mission = Mission(title="M", trace_id=new_id(), **here)
    other = Agent(name="Other", slug=new_id(), workspace_id=world.workspace.id)
    await world.add(mission, other)
    budgets = [await made(world, **whose) for whose in ({}, {"crew_id": crew.id}, {"mission_id": mission.id})]
    theirs = await made(world, agent_id=other.id)
    named = {"crew_id": crew.id, "agent_id": mate.id, "mission_id": mission.id}
    row = await recorded(world, **named, cached_input_tokens=800, cache_creation_tokens=10)
    assert {key: row[key] for key in named} == named
    assert (row["run_id"], row["step"], row["estimated"]) == (row["id"], "reported", False)
    assert row["cost_micros"] == 10_778  # 1000 at 3, 500 at 15, 800 at 0.3 and 10 at 3.75 dollars a million: rounded up
    day = await world.database.fetchrow("SELECT * FROM cost_days")
    assert (day["calls"], day["cost_micros"], day["crew_id"], day["agent_id"]) == (1, 10_778, crew.id, mate.id)
    for budget in budgets:
        shown = await world.rest(world.manager, "GET", f"/api/v1/budgets/{budget['id']}")
        assert shown.json()["spent_usd"] == 0.010778
    shown = await world.rest(world.manager, "GET", f"/api/v1/budgets/{theirs['id']}")
    assert shown.json()["spent_usd"] == 0


async def test_the_journal_has_the_call_and_its_cost(world: World) -> None:
    row = await recorded(world)
    answer = await world.rest(world.owner, "GET", "/api/v1/journal")
    entries = {e["entry_type"]: e for e in answer.json()["entries"] if e.get("refs") == {"ledger_id": row["id"]}}
    assert entries["llm.call"]["payload"] == {
        **CALL, "cached_input_tokens": 0, "cache_creation_tokens": 0, "cost_usd": 0.0105,
        "cost_confidence": "precise", "billing_mode": "metered", "ledger_id": row["id"],
    }  # fmt: skip
    assert entries["cost.incurred"]["payload"]["cost_usd"] == 0.0105
    free = await recorded(world, billing_mode="FLAT_RATE", subscription_plan="Max")
    answer = await world.rest(world.owner, "GET", "/api/v1/journal")
    kinds = [e["entry_type"] for e in answer.json()["entries"] if e.get("refs") == {"ledger_id": free["id"]}]
    assert kinds == ["llm.call"]


@each_of(
    ("body", "micros"),
    [
        ({}, 10_500),
        ({"provider": "OpenAI", "model": "GPT-4o"}, 7_500),
        ({"provider": "acme", "model": "nobody-knows"}, None),
        ({"provider": "Ollama", "model": "gpt-4o"}, 0),
        ({"provider": "local", "model": "x"}, 0),
        ({"billing_mode": "flat_rate"}, 0),
        ({"billing_mode": ""}, 10_500),
        ({"input_tokens": 0, "output_tokens": 0}, 0),
    ],
)
async def test_the_price(world: World, body: dict[str, Any], micros: int | None) -> None:
    assert (await recorded(world, **body))["cost_micros"] == micros


async def test_the_price_of_the_workspace_precedes_the_published_one(world: World) -> None:
    document = """mutation { setModelPrice(input: {model: "claude-opus-4-1", inputUsd: 1, outputUsd: 2}) { id } }"""
    async with world.client(world.admin) as client:
        where = {"x-workspace-id": world.workspace.id}
        assert "errors" not in (await client.post("/graphql", json={"query": document}, headers=where)).json()
    assert (await recorded(world, model="claude-opus-4-1"))["cost_micros"] == 2_000
    assert (await recorded(world))["cost_micros"] == 10_500


async def test_what_a_program_says_of_its_quota_is_shown(world: World) -> None:
    quota = {"quota_remaining_pct": 12.5, "quota_window": "5h", "had_status_429": True}
    row = await recorded(world, billing_mode="flat_rate", subscription_plan="Max", **quota)
    (shown,) = (await world.rest(world.manager, "GET", "/api/v1/model-calls")).json()
    assert (shown["id"], shown["billing_mode"], shown["subscription_plan"]) == (row["id"], "flat_rate", "Max")
    assert (shown["quota_remaining_pct"], shown["quota_window"], shown["rate_limited"]) == (12.5, "5h", True)


async def test_a_call_without_counts_is_an_estimate(world: World) -> None:
    sent = {"workspace_id": world.workspace.id, "provider": "openai", "model": "gpt-4o"}
    for more, estimated in (({}, True), ({"output_tokens": 0}, False)):
        answer = await reported(world, sent | more)
        shown = await world.database.fetchval("SELECT estimated FROM model_calls WHERE id = $1", answer.json()["id"])
        assert shown is estimated


@each_of(
    "body",
    [
        {"workspace_id": ...}, {"provider": ...}, {"provider": ""}, {"model": ...}, {"model": "m" * 201},
        {"billing_mode": "free"}, {"input_tokens": -5}, {"input_tokens": "5"}, {"output_tokens": 2**31},
        {"crew_id": "nope"}, {"agent_id": "nope"}, {"mission_id": "nope"}, {"quota_remaining_pct": 101},
        {"had_status_429": "yes"}, {"subscription_plan": "x" * 201},
    ],
)  # fmt: skip
async def test_bad_calls_are_refused(world: World, body: dict[str, Any]) -> None:
    await refused(world, 400, **body)


async def test_bodies_are_bounded(world: World) -> None:
    await refused(world, 413, bound(world, world.workspace.id), subscription_plan="x" * 16_384)
    await refused(world, 400, subscription_plan="x" * 16_384)  # the workspace is in the body, which is not read


async def test_who_reports(world: World) -> None:
    theirs = bound(world, world.other.id)
    await refused(world, 403, theirs)
    await refused(world, 403, None)
    _, foreign = await crewed(world)
    await world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", foreign.crew_id)
    ours = bound(world, world.workspace.id)
    row = await recorded(world, ours, crew_id=foreign.crew_id)
    assert row["crew_id"] == foreign.crew_id, "the last calls of a deleted crew are paid, too"


async def test_a_crew_of_another_workspace_is_refused(world: World) -> None:
    theirs = Agent(name="Theirs", slug=new_id(), workspace_id=world.other.id)
    await world.add(theirs)
    await refused(world, 400, agent_id=theirs.id)


async def test_a_report_that_reaches_a_budget_raises_its_alarm(world: World) -> None:
    budget = await made(world, amount_usd=0.01)
    await recorded(world)
    told = [e["type"] for e in await world.events() if e["payload"].get("id") == budget["id"]]
    assert "budget.exceeded" in told
    await recorded(world)
    told = [e["type"] for e in await world.events() if e["payload"].get("id") == budget["id"]]
    assert told.count("budget.exceeded") == 1
