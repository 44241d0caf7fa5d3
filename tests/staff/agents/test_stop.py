"""How an agent is stopped, and what that does to its runs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent, AgentStatus
from models.staff.chats import Chat
from models.staff.runs import Run, RunStatus
from resolvers.kernel.store.bus import Topic, bus
from tests.staff.runs.logbook import internal
from tests.world import World, now, world_on

pytestmark = pytest.mark.anyio
SEND = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { runId } }"


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """Without workers: what was sent stays as it was sent."""
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api", row_level_security=True) as made:
        yield made


async def agent_of(world: World, status: AgentStatus = AgentStatus.IDLE, **values: Any) -> Agent:
    agent = Agent(
        **{"workspace_id": world.workspace.id, "name": "Hand", "slug": f"a{new_id()}", "status": status} | values
    )
    await world.add(agent)
    return agent


async def chat_of(world: World, agent: Agent) -> Chat:
    chat = Chat(workspace_id=agent.workspace_id, agent_id=agent.id, created_by=world.owner.user_id)
    await world.add(chat)
    return chat


async def send(world: World, chat: Chat) -> str | None:
    answer = await world.graphql(world.member, SEND, {"i": {"chatId": chat.id, "content": "Hello"}})
    return None if "errors" in answer else answer["data"]["sendMessage"]["runId"]


async def stop(world: World, agent_id: str, name: str = "manager") -> tuple[int, Any]:
    answer = await world.rest(world.people[name], "POST", f"/api/v1/agents/{agent_id}/stop")
    return answer.status_code, answer.json()


async def runs_of(world: World, agent: Agent) -> dict[str, dict[str, Any]]:
    return {
        row["id"]: dict(row) for row in await world.database.fetch("SELECT * FROM runs WHERE agent_id = $1", agent.id)
    }


async def status_of(world: World, agent: Agent) -> str:
    return await world.database.fetchval("SELECT status FROM agents WHERE id = $1", agent.id)  # type: ignore[no-any-return]


async def told(world: World, since: int) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event["channel"], event["type"], event["payload"]) for event in await world.events(since)]


async def position(world: World) -> int:
    return await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")  # type: ignore[no-any-return]


@pytest.mark.parametrize("status", [AgentStatus.IDLE, AgentStatus.RUNNING, AgentStatus.ERROR, AgentStatus.STOPPED])
async def test_an_agent_is_stopped_whatever_it_did(world: World, status: AgentStatus) -> None:
    agent, before = await agent_of(world, status), await position(world)
    assert await stop(world, agent.id) == (200, {"id": agent.id, "status": "STOPPED"})
    assert await status_of(world, agent) == "STOPPED"
    payload = {"agent_id": agent.id, "agent_name": "Hand", "status": "STOPPED"}
    assert await told(world, before) == [(f"workspace:{world.workspace.id}", "agent.status", payload)]


async def test_an_agent_that_waits_for_an_approval_is_not_stopped(world: World) -> None:
    agent = await agent_of(world, AgentStatus.PENDING_REVIEW)
    before = await world.snapshot()
    assert (await stop(world, agent.id))[0] == 409
    assert await world.snapshot() == before


async def test_runs_that_wait_end_and_runs_that_go_on_are_asked_to(world: World) -> None:
    agent = await agent_of(world)
    waiting, working = await chat_of(world, agent), await chat_of(world, agent)
    waits, works = await send(world, waiting), await send(world, working)
    await world.database.execute(
        "UPDATE runs SET started_at = now(), leased_until = $2, lease = 1 WHERE id = $1",
        works,
        now() + timedelta(minutes=1),
    )
    done = Run(workspace_id=world.workspace.id, agent_id=agent.id, status=RunStatus.COMPLETED, finished_at=now())
    elsewhere = Run(
        workspace_id=world.workspace.id, agent_id=agent.id, started_at=now(), leased_until=now() + timedelta(days=1)
    )
    alone = Run(workspace_id=world.workspace.id, agent_id=agent.id)
    await world.add(done, elsewhere, alone)
    rung, before = list[str](), await position(world)
    ends = bus.on(Topic.cancel, rung.append)
    try:
        assert (await stop(world, agent.id))[0] == 200
    finally:
        ends()
    runs = await runs_of(world, agent)
    assert {id: run["status"] for id, run in runs.items()} == {
        waits: "CANCELLED", alone.id: "CANCELLED", works: "RUNNING", elsewhere.id: "RUNNING", done.id: "COMPLETED",
    }  # fmt: skip
    assert {id for id, run in runs.items() if run["cancel_requested_at"]} == {works, elsewhere.id} == set(rung)
    assert {runs[id]["error_message"] for id in (waits or "", alone.id)} == {"cancelled"}
    shown = await world.database.fetch(
        "SELECT chat_id, seq, payload FROM run_frames WHERE payload->>'type' = 'done' AND chat_id = ANY($1)",
        [waiting.id, working.id],
    )
    assert [tuple(frame) for frame in shown] == [(waiting.id, 3, {"type": "done", "content": ""})]
    counted = await world.database.fetch(
        "SELECT id, message_count FROM chats WHERE id = ANY($1)", [waiting.id, working.id]
    )
    assert {row[0]: row[1] for row in counted} == {waiting.id: 1, working.id: 0}
    events = [(type_, payload.get("run_id"), payload["status"]) for _, type_, payload in await told(world, before)]
    assert sorted(events[:-1]) == sorted([("run.failed", waits, "CANCELLED"), ("run.failed", alone.id, "CANCELLED")])
    assert events[-1] == ("agent.status", None, "STOPPED")


async def test_the_next_message_starts_it_again(world: World) -> None:
    agent = await agent_of(world, AgentStatus.STOPPED)
    assert await send(world, await chat_of(world, agent)) is not None
    assert await status_of(world, agent) == "RUNNING"


async def test_nobody_else_s_agents(world: World) -> None:
    theirs, gone = await agent_of(world, workspace_id=world.other.id), await agent_of(world, deleted_at=now())
    for id in (theirs.id, gone.id, "nothing"):
        assert (await stop(world, id))[0] == 404
    agent = await agent_of(world)
    await send(world, await chat_of(world, agent))
    before = await world.snapshot()
    for name in ("member", "viewer", "outsider", "nobody"):
        assert (await stop(world, agent.id, name))[0] == 403
    assert await world.snapshot() == before
    assert await status_of(world, theirs) == "IDLE"


async def test_stops_and_messages_at_once_leave_the_agent_as_its_runs_are(world: World) -> None:
    agent = await agent_of(world)
    chats = [await chat_of(world, agent) for _ in range(6)]
    calls = [call for chat in chats for call in (send(world, chat), stop(world, agent.id), send(world, chat))]
    answers = await asyncio.gather(*calls)
    assert {answer[0] for answer in answers if isinstance(answer, tuple)} == {200}
    runs = (await runs_of(world, agent)).values()
    live = [run for run in runs if run["status"] == "RUNNING"]
    assert all(run["status"] == "CANCELLED" for run in runs if run not in live)
    assert await status_of(world, agent) == ("RUNNING" if live else "STOPPED")
    for chat in chats:
        numbers = [
            row[0]
            for row in await world.database.fetch("SELECT seq FROM run_frames WHERE chat_id = $1 ORDER BY seq", chat.id)
        ]
        assert numbers == list(range(1, len(numbers) + 1))


async def waiting(world: World, number: int) -> None:
    """Until so many transactions wait for a lock."""
    sql = (
        "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND datname = current_database()"
    )
    async with asyncio.timeout(30):
        while await world.database.fetchval(sql) < number:
            await asyncio.sleep(0.01)


async def report(world: World, agent: Agent) -> str:
    """The start of a run elsewhere."""
    id = new_id()
    answer = await internal(world, "POST", "", {"id": id, "agent_id": agent.id, "workspace_id": world.workspace.id})
    assert answer.status_code == 201, answer.text
    return id


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_run_that_is_being_started_is_called_off_by_the_stop_that_comes_behind(
    world: World, elsewhere: bool
) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    async with world.database.transaction():
        await world.database.fetchval("SELECT 1 FROM agents WHERE id = $1 FOR NO KEY UPDATE", agent.id)
        started = asyncio.create_task(report(world, agent) if elsewhere else send(world, chat))
        await waiting(world, 1)  # the run is stored, and nobody sees it yet
        stopped = asyncio.create_task(stop(world, agent.id))
        await waiting(world, 2)
    run_id, answer = await asyncio.gather(started, stopped)
    assert answer == (200, {"id": agent.id, "status": "STOPPED"})
    run = (await runs_of(world, agent))[run_id or ""]
    assert (run["status"], run["cancel_requested_at"] is not None) == (
        ("RUNNING", True) if elsewhere else ("CANCELLED", False)
    )
    assert await status_of(world, agent) == "STOPPED"


async def test_a_message_that_comes_behind_a_stop_starts_the_agent_again(world: World) -> None:
    agent = await agent_of(world)
    first, second = await chat_of(world, agent), await chat_of(world, agent)
    old = await send(world, first)
    async with world.database.transaction():
        await world.database.fetchval("SELECT 1 FROM agents WHERE id = $1 FOR NO KEY UPDATE", agent.id)
        stopped = asyncio.create_task(stop(world, agent.id))
        await waiting(world, 1)
        sent = asyncio.create_task(send(world, second))
        await waiting(world, 2)
    answer, new = await asyncio.gather(stopped, sent)
    assert answer[0] == 200
    assert {id: run["status"] for id, run in (await runs_of(world, agent)).items()} == {
        old: "CANCELLED",
        new: "RUNNING",
    }
    assert await status_of(world, agent) == "RUNNING"


@pytest.mark.slow
async def test_no_pair_of_a_message_and_a_stop_leaves_a_run_under_a_stopped_agent(world: World) -> None:
    agents = [await agent_of(world) for _ in range(60)]
    chats = [await chat_of(world, agent) for agent in agents]
    for start in range(0, len(agents), 10):
        pairs = zip(agents[start : start + 10], chats[start : start + 10], strict=True)
        answers = await asyncio.gather(
            *[call for agent, chat in pairs for call in (send(world, chat), stop(world, agent.id))]
        )
        assert all(answers[::2])
        assert {answer[0] for answer in answers[1::2]} == {200}
    found = await world.database.fetch(
        "SELECT a.status, r.status FROM agents a JOIN runs r ON r.agent_id = a.id WHERE a.id = ANY($1)",
        [agent.id for agent in agents],
    )
    assert len(found) == len(agents)
    assert {tuple(row) for row in found} <= {("RUNNING", "RUNNING"), ("STOPPED", "CANCELLED")}


async def test_by_graphql(world: World) -> None:
    agent = await agent_of(world)
    document = (
        "mutation($ws: ID!, $i: ByIdInput!) {"
        " stopAgent(workspaceId: $ws, input: $i) { id status runs { totalCount } } }"
    )
    answer = await world.graphql(world.manager, document, {"i": {"id": agent.id}})
    assert answer["data"]["stopAgent"] == {"id": agent.id, "status": "STOPPED", "runs": {"totalCount": 0}}
