"""Runs in numbers."""

from datetime import timedelta
from typing import Any

import pytest

from models.staff.runs import Run, RunStatus
from tests.staff.runs.logbook import agent_of, crew_of, get, run_of
from tests.world import World, now, stored

pytestmark = pytest.mark.anyio
NOTHING: dict[str, Any] = {
    "window": "24h", "totals": {"total": 0, "succeeded": 0, "failed": 0, "running": 0},
    "duration": {"p50_ms": 0, "p95_ms": 0},
    "by_trigger": [], "by_model": [], "by_crew": [], "top_agents": [], "truncated": False,
}  # fmt: skip


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    await world.database.execute("DELETE FROM runs")


async def test_nothing(world: World) -> None:
    assert await get(world, "/runs/insights") == NOTHING
    theirs = await agent_of(world, workspace_id=world.other.id)
    await run_of(world, theirs)
    assert await get(world, "/runs/insights", window="24h") == NOTHING


async def test_how_runs_ended_and_who_did_them(world: World) -> None:
    deck, engine = await crew_of(world, name="Deck"), await crew_of(world, name="Engine", deleted_at=now())
    cook = await agent_of(world, name="Cook")
    mate = await agent_of(world, name="Mate", crew_id=deck.id)
    stoker = await agent_of(world, name="Stoker", crew_id=engine.id, deleted_at=now())
    start = now() - timedelta(hours=2)
    for agent, status, milliseconds, trigger, model in [
        (cook, RunStatus.COMPLETED, 100, "USER", "m-1"),
        (cook, RunStatus.FAILED, 200, "USER", "m-2"),
        (mate, RunStatus.TIMEOUT, 300, "CRON", None),
        (mate, RunStatus.CANCELLED, 400, "CRON", ""),
        (mate, RunStatus.COMPLETED, 500, "", "m-1"),
        (stoker, RunStatus.RUNNING, 0, "CRON", "m-2"),
    ]:
        ended = {} if status is RunStatus.RUNNING else {"finished_at": start + timedelta(milliseconds=milliseconds)}
        await run_of(
            world,
            agent,
            status,
            created_at=start - timedelta(hours=1),
            started_at=start,
            trigger_type=trigger,
            model=model,
            **ended,
        )
    shown = await get(world, "/runs/insights")
    assert shown["totals"] == {"total": 6, "succeeded": 2, "failed": 2, "running": 1}
    assert shown["duration"] == {"p50_ms": 300, "p95_ms": 500}
    assert shown["by_trigger"] == [
        {"key": "CRON", "total": 3, "failed": 1},
        {"key": "USER", "total": 2, "failed": 1},
        {"key": "unknown", "total": 1, "failed": 0},
    ]
    assert shown["by_model"] == [
        {"key": "m-1", "total": 2, "failed": 0},
        {"key": "m-2", "total": 2, "failed": 1},
        {"key": "unknown", "total": 2, "failed": 1},
    ]
    assert shown["by_crew"] == [
        {"id": deck.id, "name": "Deck", "total": 3, "failed": 1},
        {"id": "", "name": "—", "total": 2, "failed": 1},
        {"id": engine.id, "name": "Engine", "total": 1, "failed": 0},
    ]
    assert shown["top_agents"] == [
        {"id": mate.id, "name": "Mate", "crew_name": "Deck", "total": 3, "failed": 1},
        {"id": cook.id, "name": "Cook", "crew_name": "", "total": 2, "failed": 1},
        {"id": stoker.id, "name": "Stoker", "crew_name": "Engine", "total": 1, "failed": 0},
    ]


@pytest.mark.parametrize(
    ("number", "p50", "p95"), [(1, 1, 1), (2, 1, 2), (19, 10, 19), (20, 10, 19), (21, 11, 20), (100, 50, 95)]
)
async def test_ranks(world: World, number: int, p50: int, p95: int) -> None:
    """Of 1…n milliseconds: the value at rank ⌈n·p⌉."""
    agent, start = await agent_of(world), now()
    for milliseconds in range(number, 0, -1):
        await run_of(world, agent, created_at=start, finished_at=start + timedelta(milliseconds=milliseconds))
    assert (await get(world, "/runs/insights"))["duration"] == {"p50_ms": p50, "p95_ms": p95}


@pytest.mark.parametrize(("window", "hours"), [("24h", 24), ("7d", 24 * 7), ("30d", 24 * 30)])
async def test_windows(world: World, window: str, hours: int) -> None:
    agent = await agent_of(world)
    await run_of(world, agent, created_at=now() - timedelta(hours=hours) + timedelta(minutes=1))
    await run_of(world, agent, created_at=now() - timedelta(hours=hours, minutes=1))
    shown = await get(world, "/runs/insights", window=window)
    assert (shown["window"], shown["totals"]["total"]) == (window, 1)


@pytest.mark.parametrize("window", ["1h", "24H", "365d", "24h "])
async def test_another_window(world: World, window: str) -> None:
    async with world.client(world.viewer) as client:
        answer = await client.get(
            "/api/v1/runs/insights", params={"workspace_id": world.workspace.id, "window": window}
        )
    assert (answer.status_code, answer.json()["detail"]) == (400, "window: must be one of 24h, 7d and 30d")


async def test_an_empty_window_is_none(world: World) -> None:
    assert (await get(world, "/runs/insights", window=""))["window"] == "24h"


async def test_eight_at_most_and_the_busiest_first(world: World) -> None:
    for number in range(10):
        agent = await agent_of(world, name=f"Agent {number}", crew_id=(await crew_of(world, name=f"Crew {number}")).id)
        for _ in range(number % 5 + 1):
            await run_of(world, agent)
    shown = await get(world, "/runs/insights")
    assert [crew["total"] for crew in shown["by_crew"]] == [5, 5, 4, 4, 3, 3, 2, 2]
    assert [crew["name"] for crew in shown["by_crew"]][:4] == ["Crew 4", "Crew 9", "Crew 3", "Crew 8"]
    top = [(agent["total"], agent["id"]) for agent in shown["top_agents"]]
    assert top == sorted(top, key=lambda pair: (-pair[0], pair[1]))
    assert len(top) == 8


@pytest.mark.slow
async def test_of_more_than_twenty_thousand_runs_the_newest_count(world: World) -> None:
    agent = await agent_of(world)
    run = await run_of(world, agent, created_at=now() - timedelta(minutes=1), trigger_type="NEW")
    await world.database.execute(
        f"INSERT INTO runs ({stored(Run)}) SELECT {stored(Run)}"
        " FROM (SELECT (jsonb_populate_record(r, jsonb_build_object('id', r.id || n, 'created_at',"
        " r.created_at - n * interval '1 ms', 'trigger_type', CASE WHEN n < 20000 THEN 'NEW' ELSE 'OLD' END))).*"
        " FROM runs r, generate_series(1, 20000) n WHERE r.id = $1) AS made",
        run.id,
    )
    shown = await get(world, "/runs/insights")
    assert (shown["totals"]["total"], shown["truncated"]) == (20_000, True)
    assert shown["by_trigger"] == [{"key": "NEW", "total": 20_000, "failed": 0}]
    await world.database.execute("DELETE FROM runs WHERE trigger_type = 'OLD'")
    assert not (await get(world, "/runs/insights"))["truncated"]


async def test_by_graphql(world: World) -> None:
    agent = await agent_of(world)
    await run_of(world, agent, RunStatus.FAILED)
    document = """query($ws: ID!) { runInsights(workspaceId: $ws, window: "7d") {
        window totals { total failed } duration { p50Ms p95Ms } byTrigger { key total }
        topAgents { id name crewName } byCrew { id name } truncated
    } }"""
    shown = (await world.graphql(world.viewer, document))["data"]["runInsights"]
    assert shown | {"duration": None} == {
        "window": "7d", "totals": {"total": 1, "failed": 1}, "duration": None,
        "byTrigger": [{"key": "USER", "total": 1}],
        "topAgents": [{"id": agent.id, "name": "Hand", "crewName": ""}], "byCrew": [{"id": "", "name": "—"}],
        "truncated": False,
    }  # fmt: skip
    refused = await world.graphql(
        world.viewer, 'query($ws: ID!) { runInsights(workspaceId: $ws, window: "1y") { truncated } }'
    )
    assert refused["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
