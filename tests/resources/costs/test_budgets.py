"""Budgets and the report, on both surfaces."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.resources.budgets import BudgetSpend
from models.resources.costs import CostDay, ModelCall
from models.staff.agents import Agent
from models.staff.crews import Crew
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio
TODAY = datetime.now(UTC).date()


async def crewed(world: World, name: str = "Deck") -> tuple[Crew, Agent]:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name=name, slug=f"crew-{new_id()}", **here)
    agent = Agent(name=f"Hand of {name}", slug=f"agent-{new_id()}", crew_id=crew.id, **here)
    await world.add(crew, agent)
    return crew, agent


async def spent(world: World, agent: Agent, micros: int, *, day: date = TODAY, model: str = "m", slot: int = 0) -> None:
    numbers = {"calls": 1, "input_tokens": 10, "output_tokens": 5, "cost_micros": micros}
    who = {"agent_id": agent.id, "crew_id": agent.crew_id or "", "workspace_id": world.workspace.id}
    await world.add(CostDay(day=day, model=model, slot=slot, **numbers, **who))


async def read(world: World, path: str) -> httpx2.Response:
    async with world.client(world.manager) as client:
        return await client.get(f"{path}&workspace_id={world.workspace.id}")


async def made(world: World, **body: Any) -> dict[str, Any]:
    answer = await world.rest(world.admin, "POST", "/api/v1/budgets", {"period": "total", "amount_usd": 10} | body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_a_budget_lives(world: World) -> None:
    crew, agent = await crewed(world)
    await spent(world, agent, 2_500_000, day=TODAY - timedelta(days=3))
    await spent(world, agent, 500_000, slot=1)
    budget = await made(world, crew_id=crew.id, amount_usd=10.5, period="total")
    assert {name: budget[name] for name in ("scope", "period", "amount_usd", "reservation_usd", "hard_stop")} == {
        "scope": "crew",
        "period": "total",
        "amount_usd": 10.5,
        "reservation_usd": 1.05,
        "hard_stop": True,
    }
    assert (budget["spent_usd"], budget["reserved_usd"], budget["remaining_usd"]) == (3.0, 0.0, 7.5)
    path = f"/api/v1/budgets/{budget['id']}"
    changed = await world.rest(world.admin, "PATCH", path, {"amount_usd": 2, "soft_limit_percent": None})
    assert changed.json() == budget | {
        "amount_usd": 2.0,
        "soft_limit_percent": None,
        "remaining_usd": 0.0,
        "updated_at": changed.json()["updated_at"],
    }
    assert (await world.rest(world.manager, "GET", path)).json() == changed.json()
    assert budget["id"] in [b["id"] for b in (await world.rest(world.manager, "GET", "/api/v1/budgets")).json()]
    assert (await world.rest(world.admin, "DELETE", path)).status_code == 204
    assert (await world.rest(world.admin, "GET", path)).status_code == 404
    assert await world.database.fetchval("SELECT count(*) FROM budget_spends WHERE budget_id = $1", budget["id"]) == 0
    told = [event["type"] for event in await world.events() if event["payload"].get("id") == budget["id"]]
    assert told == ["budget.created", "budget.updated", "budget.deleted"]


async def test_a_budget_of_a_day_knows_its_day_alone(world: World) -> None:
    _, agent = await crewed(world)
    await spent(world, agent, 2_000_000, day=TODAY - timedelta(days=1))
    await spent(world, agent, 250_000)
    budget = await made(world, agent_id=agent.id, period="day", amount_usd=1)
    assert (budget["scope"], budget["spent_usd"]) == ("agent", 0.25)
    yesterday = (TODAY - timedelta(days=1)).isoformat()
    here = {"workspace_id": world.workspace.id, "budget_id": budget["id"]}
    await world.add(BudgetSpend(span=yesterday, slot=1, micros=700_000, **here))
    again = (await world.rest(world.admin, "GET", f"/api/v1/budgets/{budget['id']}")).json()
    assert again["spent_usd"] == 0.25


async def test_budgets_are_found_by_what_they_name(world: World) -> None:
    crew, agent = await crewed(world)
    first, second = await made(world, crew_id=crew.id), await made(world, agent_id=agent.id)
    assert (await read(world, f"/api/v1/budgets?crew_id={crew.id}")).json() == [first]
    assert (await read(world, f"/api/v1/budgets?agent_id={agent.id}")).json() == [second]
    assert (await read(world, f"/api/v1/budgets?agent_id={crew.id}")).json() == []
    assert (await read(world, "/api/v1/budgets?limit=1")).json() == [second]
    found = await world.graphql(
        world.manager, "query($ws: ID!, $a: ID!) { agent(workspaceId: $ws, id: $a) { budgets { id } costs { day } } }",
        {"a": agent.id},
    )  # fmt: skip
    assert found["data"] == {"agent": {"budgets": [{"id": second["id"]}], "costs": []}}


async def test_there_is_one_budget_of_a_scope_and_period(world: World) -> None:
    crew, _ = await crewed(world)
    await made(world, crew_id=crew.id, period="day")
    await made(world, crew_id=crew.id, period="total")
    await made(world, period="day")
    for body in ({"crew_id": crew.id, "period": "day"}, {"period": "day"}):
        again = await world.rest(world.admin, "POST", "/api/v1/budgets", body | {"amount_usd": 1})
        assert again.status_code == 409
        assert again.json()["error"] == "A budget with this scope and period already exists"


@each_of(
    "body",
    [
        {"amount_usd": 0},
        {"amount_usd": -1},
        {"amount_usd": 1e12},
        {"amount_usd": "1"},
        {"amount_usd": 1e-9},
        {"period": "week"},
        {"soft_limit_percent": 0},
        {"soft_limit_percent": 101},
        {"reservation_usd": 0},
        {"agent_id": "cunknown0000000000000"},
        {"agent_id": "AGENT", "crew_id": "CREW"},
    ],
)
async def test_a_bad_budget_is_refused_and_writes_nothing(world: World, body: dict[str, Any]) -> None:
    crew, agent = await crewed(world)
    ids = {"AGENT": agent.id, "CREW": crew.id}
    before = await world.snapshot()
    sent = {"period": "day", "amount_usd": 1} | {name: ids.get(value, value) for name, value in body.items()}
    answer = await world.rest(world.admin, "POST", "/api/v1/budgets", sent)
    assert answer.status_code == 400, answer.text
    assert await world.snapshot() == before


async def test_money_is_for_managers(world: World) -> None:
    for path in ("/api/v1/budgets", "/api/v1/costs", "/api/v1/model-calls"):
        assert (await world.rest(world.manager, "GET", path)).status_code == 200
        assert (await world.rest(world.member, "GET", path)).status_code == 403
    body = {"period": "day", "amount_usd": 1}
    assert (await world.rest(world.manager, "POST", "/api/v1/budgets", body)).status_code == 403


async def test_a_report_by_each_group(world: World) -> None:
    crew, agent = await crewed(world, "Galley")
    other = Agent(name="Loner", slug=f"agent-{new_id()}", workspace_id=world.workspace.id)
    await world.add(other)
    first, second = date(2020, 2, 1), date(2020, 2, 2)
    for slot, day, who, model, micros in (
        (0, first, agent, "m1", 1_000_000),
        (1, first, agent, "m1", 500_000),
        (0, second, agent, "m2", 250_000),
        (0, second, other, "m1", 3_000_000),
    ):
        await spent(world, who, micros, day=day, model=model, slot=slot)
    window = "since=2020-02-01&until=2020-02-29"

    async def report(query: str) -> dict[str, Any]:
        path = f"/api/v1/costs?{window}&{query}"
        answer = await read(world, path)
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def rows(found: dict[str, Any]) -> list[tuple[str, str, int, float]]:
        return [(row["key"], row["name"], row["calls"], row["cost_usd"]) for row in found["rows"]]

    days = await report("group_by=day")
    assert rows(days) == [("2020-02-01", "2020-02-01", 2, 1.5), ("2020-02-02", "2020-02-02", 2, 3.25)]
    assert days["total"] == {
        "calls": 4,
        "input_tokens": 40,
        "output_tokens": 20,
        "cached_input_tokens": 0,
        "cache_creation_tokens": 0,
        "cost_usd": 4.75,
    }
    assert rows(await report("group_by=model")) == [("m1", "m1", 3, 4.5), ("m2", "m2", 1, 0.25)]
    assert rows(await report("group_by=agent")) == [(other.id, "Loner", 1, 3.0), (agent.id, agent.name, 3, 1.75)]
    assert rows(await report("group_by=crew")) == [("", "", 1, 3.0), (crew.id, "Galley", 3, 1.75)]
    assert rows(await report(f"group_by=model&agent_id={agent.id}")) == [("m1", "m1", 2, 1.5), ("m2", "m2", 1, 0.25)]
    assert rows(await report("group_by=day&model=m2")) == [("2020-02-02", "2020-02-02", 1, 0.25)]


@pytest.mark.parametrize(
    "query", ["since=2020-02-30", "since=x", "since=2020-02-02&until=2020-02-01", "since=0001-01-01&until=9999-12-31"]
)
async def test_a_bad_window_is_refused(world: World, query: str) -> None:
    answer = await read(world, f"/api/v1/costs?{query}")
    assert answer.status_code == 400, answer.text


async def test_calls_are_listed_and_filtered(world: World) -> None:
    crew, agent = await crewed(world, "Bridge")
    here = {"workspace_id": world.workspace.id, "agent_id": agent.id, "crew_id": crew.id, "provider": "p"}
    calls = [
        ModelCall(run_id=f"run-{n}", step="1 model", model=f"m{n % 2}", cost_micros=None if n == 3 else n, **here)
        for n in range(4)
    ]
    await world.add(*calls)
    path = f"/api/v1/model-calls?agent_id={agent.id}"
    listed = (await read(world, path)).json()
    assert [call["id"] for call in listed] == [call.id for call in reversed(calls)]
    assert [call["cost_usd"] for call in listed] == [None, 0.000002, 0.000001, 0.0]
    assert {(call["agent_name"], call["crew_name"]) for call in listed} == {(agent.name, "Bridge")}
    odd = (await read(world, f"{path}&model=m1&limit=1")).json()
    assert [call["run_id"] for call in odd] == ["run-3"]
    one = (await read(world, f"{path}&run_id=run-2")).json()
    assert [call["run_id"] for call in one] == ["run-2"]
