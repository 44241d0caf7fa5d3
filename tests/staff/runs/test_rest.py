"""REST: runs, as the contract states them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.staff.agents import Agent
from models.staff.runs import Run, RunStatus
from tests.staff.runs.logbook import agent_of, chat_of, crew_of, get, run_of
from tests.world import World, now, stored

pytestmark = pytest.mark.anyio
START = datetime(2024, 5, 1, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_a_run_is_shown_whole(world: World) -> None:
    crew = await crew_of(world, name="Engine")
    agent = await agent_of(world, name="Stoker", slug="stoker", crew_id=crew.id)
    chat = await chat_of(world, agent)
    data = {"tags": ["chat", "CLAUDE_CODE"], "usage": {"input_tokens": 1, "cost": 0.10}, "big": 2**62}
    times = {"created_at": START, "started_at": START + HOUR, "finished_at": START + 2 * HOUR}
    more = {
        "chat_id": chat.id,
        "triggered_by": world.owner.user_id,
        "error_message": "No coal",
        "exit_code": 3,
        "model": "m-1",
    }
    run = await run_of(world, agent, RunStatus.FAILED, data=data, **times, **more)
    shown = {
        "id": run.id, "agent_id": agent.id, "chat_id": chat.id, "workspace_id": world.workspace.id,
        "triggered_by": world.owner.user_id,
        "trigger_type": "USER", "status": "FAILED", "started_at": "2024-05-01T11:00:00Z",
        "finished_at": "2024-05-01T12:00:00Z", "error_message": "No coal",
        "exit_code": 3, "metadata": data, "created_at": "2024-05-01T11:00:00Z", "model": "m-1",
    }  # fmt: skip
    names = {"agent_name": "Stoker", "agent_slug": "stoker", "crew_name": "Engine"}
    assert await get(world, f"/runs/{run.id}") == shown | names
    assert (await get(world, "/runs", agent_id=agent.id))["data"] == [shown | names]
    assert await get(world, f"/agents/{agent.id}/runs") == [shown]


async def test_a_run_that_waits_has_begun_when_it_was_made(world: World) -> None:
    agent = await agent_of(world)
    run = await run_of(world, agent, RunStatus.RUNNING, created_at=START)
    shown = await get(world, f"/runs/{run.id}")
    assert (shown["started_at"], shown["created_at"], shown["finished_at"], shown["metadata"]) == (
        "2024-05-01T10:00:00Z",
    ) * 2 + (None, None)
    assert "model" not in shown
    assert "crew_name" not in shown


async def test_a_deleted_agent_keeps_its_name_on_its_runs(world: World) -> None:
    crew = await crew_of(world, name="Scrapped", deleted_at=now())
    agent = await agent_of(world, name="Retired", slug="retired", crew_id=crew.id, deleted_at=now())
    run = await run_of(world, agent)
    shown = await get(world, f"/runs/{run.id}")
    assert (shown["agent_name"], shown["agent_slug"], shown["crew_name"]) == ("Retired", "retired", "Scrapped")


async def test_runs_of_others_are_no_runs(world: World) -> None:
    theirs = await agent_of(world, workspace_id=world.other.id)
    run = await run_of(world, theirs)
    for id in (run.id, "nothing"):
        assert (await world.rest(world.viewer, "GET", f"/api/v1/runs/{id}")).status_code == 404
    assert (await get(world, "/runs", agent_id=theirs.id))["data"] == []
    for agent_id in (theirs.id, "nothing"):
        assert await get(world, f"/agents/{agent_id}/runs") == []
    assert (await world.rest(world.outsider, "GET", "/api/v1/runs")).status_code == 403
    assert (await world.rest(None, "GET", "/api/v1/runs")).status_code == 401
    assert (await world.rest(world.viewer, "GET", "/api/v1/runs", workspace=None)).status_code == 400


@pytest.fixture(scope="module")
async def many(world: World) -> Agent:
    """120 runs, one an hour; the last began first."""
    agent = await agent_of(world)
    run = await run_of(world, agent, created_at=START, started_at=None, trigger_type="CRON", data={"tags": ["all"]})
    await world.database.execute(
        f"INSERT INTO runs ({stored(Run)}) SELECT {stored(Run)} FROM (SELECT (jsonb_populate_record("
        "r, jsonb_build_object('id', r.id || n, 'created_at', r.created_at - n * interval '1 hour'))).* "
        "FROM runs r, generate_series(1, 119) n WHERE r.id = $1) AS made",
        run.id,
    )
    return agent


async def ids(world: World, many: Agent, **query: Any) -> list[str]:
    return [run["id"] for run in (await get(world, "/runs", agent_id=many.id, **query))["data"]]


async def test_pages(world: World, many: Agent) -> None:
    async def page(**query: Any) -> dict[str, int]:
        body = await get(world, "/runs", agent_id=many.id, **query)
        assert len(body["data"]) == max(
            min(body["pagination"]["limit"], 120 - (body["pagination"]["page"] - 1) * body["pagination"]["limit"]), 0
        )
        return body["pagination"]  # type: ignore[no-any-return]

    assert await page() == {"page": 1, "limit": 50, "total": 120, "total_pages": 3}
    assert await page(page=2, limit=100) == {"page": 2, "limit": 100, "total": 120, "total_pages": 2}
    assert await page(page=99, limit=1) == {"page": 99, "limit": 1, "total": 120, "total_pages": 120}
    for beyond in (0, -1, 101, 10**30, "many", ""):  # not cut to size: the default
        assert (await page(limit=beyond))["limit"] == 50
    for before in (0, -7, "first", ""):
        assert (await page(page=before))["page"] == 1
    assert (await page(page=10**30))["total"] == 120
    whole = await ids(world, many, limit=100) + await ids(world, many, limit=100, page=2)
    assert [run for number in range(1, 5) for run in await ids(world, many, limit=40, page=number)] == whole
    assert len(set(whole)) == 120
    assert await ids(world, many, limit=5, offset=3) == whole[3:8]
    nothing = await get(world, "/runs", agent_id="nothing")
    assert nothing["pagination"] == {"page": 1, "limit": 50, "total": 0, "total_pages": 0}


async def test_the_newest_first_by_when_they_began(world: World) -> None:
    agent = await agent_of(world)
    early = await run_of(world, agent, created_at=START, started_at=START + 3 * HOUR)
    late = await run_of(world, agent, created_at=START + HOUR, started_at=START + HOUR)
    twins = sorted([(await run_of(world, agent, created_at=START)).id for _ in range(2)], reverse=True)
    assert await ids(world, agent) == [early.id, late.id, *twins]
    assert [run["id"] for run in await get(world, f"/agents/{agent.id}/runs")] == [early.id, late.id, *twins]


async def test_a_hundred_runs_of_an_agent_at_most(world: World, many: Agent) -> None:
    assert [run["id"] for run in await get(world, f"/agents/{many.id}/runs")] == await ids(world, many, limit=100)


async def test_filters(world: World) -> None:
    agent = await agent_of(world)
    tagged = await run_of(world, agent, data={"tags": ["night", "chat"]}, created_at=START)
    failed = await run_of(
        world, agent, RunStatus.FAILED, data={"tags": ["day"]}, trigger_type="CRON", created_at=START - HOUR
    )
    plain = await run_of(world, agent, RunStatus.TIMEOUT, data={"tag": "night"}, created_at=START - 2 * HOUR)

    async def found(**query: str) -> list[str]:
        return await ids(world, agent, **query)

    assert await found(status="FAILED") == [failed.id]
    assert await found(trigger="CRON") == [failed.id]
    assert await found(tag="night") == [tagged.id]
    assert await found(tag="chat", trigger="USER", status="COMPLETED") == [tagged.id]
    assert await found(tag="chat", trigger="CRON") == []
    assert await found(actor="me") == [tagged.id, failed.id, plain.id]
    assert await found(tag="'; --") == []
    assert await found(status="", tag="", trigger="") == [tagged.id, failed.id, plain.id]
    for status in ("failed", "ENDED"):
        async with world.client(world.viewer) as client:
            answer = await client.get("/api/v1/runs", params={"workspace_id": world.workspace.id, "status": status})
        assert answer.status_code == 400


async def test_the_statistics_are_of_the_whole_workspace(world: World) -> None:
    agent = await agent_of(world)
    before = (await get(world, "/runs"))["stats"]
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    second = timedelta(seconds=1)
    await run_of(world, agent, RunStatus.RUNNING, created_at=START)
    await run_of(world, agent, RunStatus.RUNNING, created_at=midnight)
    for status in RunStatus:
        if status is not RunStatus.RUNNING:
            await run_of(world, agent, status, created_at=midnight - second, finished_at=midnight)
            await run_of(world, agent, status, created_at=midnight - HOUR, finished_at=midnight - second)
    await run_of(world, agent, created_at=midnight - HOUR, started_at=midnight)
    theirs = await agent_of(world, workspace_id=world.other.id)
    await run_of(world, theirs, RunStatus.RUNNING)
    after = (await get(world, "/runs", agent_id="nothing", status="FAILED"))["stats"]
    assert {name: after[name] - before[name] for name in after} == {"running": 2, "today": 2, "failed": 2}


async def test_a_run_has_what_its_coding_agent_said_of_its_session(world: World) -> None:
    agent = await agent_of(world)
    failed = [{"name": "wiki", "status": "failed"}]
    session = {"cli_version": "2.1.0", "session_id": "s-1", "mcp_server_errors": failed, "mcp_server_error_count": 1}
    run = await run_of(world, agent, data={"session": session})
    shown = await get(world, f"/runs/{run.id}")
    assert {name: shown[name] for name in session} == session
    absent = {"api_key_source", "permission_mode", "mcp_server_errors_truncated", "permission_denials"}
    assert not absent & {*shown}
    (row,) = (await get(world, "/runs", agent_id=agent.id))["data"]
    assert {name: row[name] for name in session} == session
    document = "query($ws: ID, $id: ID!) { run(workspaceId: $ws, id: $id) { cliVersion mcpServerErrors } }"
    told = await world.graphql(world.viewer, document, {"ws": world.workspace.id, "id": run.id})
    assert told["data"]["run"] == {"cliVersion": "2.1.0", "mcpServerErrors": failed}


@pytest.mark.parametrize(
    "data", [{"session": "s-1"}, {"session": {"cli_version": 5, "mcp_server_error_count": "x"}}, None]
)
async def test_metadata_of_another_form_says_nothing_of_a_session(world: World, data: Any) -> None:
    run = await run_of(world, await agent_of(world), data=data)
    shown = await get(world, f"/runs/{run.id}")
    assert (shown["metadata"], {"cli_version", "session_id", "mcp_server_error_count"} & {*shown}) == (data, set())
