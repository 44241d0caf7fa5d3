"""Costs by two groupings at once, and the calls without a price."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.resources.costs import ModelCall
from models.staff.agents import Agent
from tests.every import each_of
from tests.resources.costs.test_budgets import TODAY, crewed, spent
from tests.world import World

pytestmark = pytest.mark.anyio
BROKEN = """query($ws: ID!, $by: [CostGroup!], $since: String, $until: String, $agent: ID, $crew: ID, $model: String) {
    costBreakdown(workspaceId: $ws, groupBy: $by, since: $since, until: $until, agentId: $agent, crewId: $crew,
        model: $model) {
    since until total { calls costUsd } unpriced { model calls } cells { keys names calls costUsd } } }"""


async def broken_down(world: World, **given: Any) -> Any:
    answer = await world.graphql(world.manager, BROKEN, given)
    assert "errors" not in answer, answer
    return answer["data"]["costBreakdown"]


async def called(world: World, agent: Agent, days_ago: int, micros: int | None, model: str = "m") -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    who: dict[str, Any] = {"agent_id": agent.id, "crew_id": agent.crew_id, "workspace_id": world.workspace.id}
    call: dict[str, Any] = {"step": "1", "provider": "p", "model": model, "cost_micros": micros, "created_at": at}
    await world.add(ModelCall(run_id=new_id(), **call, **who))


async def test_days_of_each_agent(world: World) -> None:
    crew, first = await crewed(world)
    second = Agent(name="Cook", slug=new_id(), crew_id=crew.id, workspace_id=world.workspace.id)
    await world.add(second)
    yesterday = TODAY - timedelta(days=1)
    await spent(world, first, 2_000_000, day=yesterday)
    await spent(world, first, 1_000_000)
    await spent(world, first, 500_000, slot=1)
    await spent(world, second, 4_000_000, model="other")
    found = await broken_down(world, by=["day", "agent"], crew=crew.id)
    assert [(cell["keys"], cell["names"][1], cell["costUsd"], cell["calls"]) for cell in found["cells"]] == [
        ([yesterday.isoformat(), first.id], first.name, 2.0, 1),
        ([TODAY.isoformat(), second.id], "Cook", 4.0, 1),
        ([TODAY.isoformat(), first.id], first.name, 1.5, 2),
    ]
    assert found["total"] == {"calls": 4, "costUsd": 7.5}
    assert (found["since"], found["until"]) == ((TODAY - timedelta(days=29)).isoformat(), TODAY.isoformat())
    models = await broken_down(world, by=["model", "crew"], crew=crew.id)
    assert [cell["keys"] for cell in models["cells"]] == [["other", crew.id], ["m", crew.id]]
    today = await broken_down(world, by=["agent", "agent"], agent=first.id, since=TODAY.isoformat())
    assert [(cell["keys"], cell["costUsd"]) for cell in today["cells"]] == [([first.id], 1.5)]
    assert (await broken_down(world, agent=first.id, model="other"))["cells"] == []


async def test_calls_without_a_price(world: World) -> None:
    crew, agent = await crewed(world)
    made = ((0, None, "own"), (1, None, "own"), (1, None, "another"), (0, 5, "m"), (9, None, "own"))
    for days_ago, micros, model in made:
        await called(world, agent, days_ago, micros, model)
    since = (TODAY - timedelta(days=3)).isoformat()
    found = await broken_down(world, since=since, crew=crew.id)
    assert found["unpriced"] == [{"model": "own", "calls": 2}, {"model": "another", "calls": 1}]
    assert (await broken_down(world, since=since, until=since, crew=crew.id))["unpriced"] == []
    own = await broken_down(world, since=since, until=TODAY.isoformat(), agent=agent.id, model="own")
    assert own["unpriced"] == [{"model": "own", "calls": 2}]


WRONG: dict[str, dict[str, Any]] = {
    "three groupings": {"by": ["day", "agent", "crew"]},
    "no grouping": {"by": []},
    "a day that is none": {"since": "2026-02-30"},
    "a period that ends before it begins": {"since": "2026-02-03", "until": "2026-02-02"},
}


@each_of("name", list(WRONG))
async def test_refused(world: World, name: str) -> None:
    answer = await world.graphql(world.manager, BROKEN, WRONG[name])
    assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


async def test_a_member_reads_no_costs(world: World) -> None:
    answer = await world.graphql(world.viewer, BROKEN, {})
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
