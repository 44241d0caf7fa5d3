"""What an agent has put out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import OUTPUT, ChatEventType, Run, RunFrame, RunStatus
from tests.every import each_of
from tests.world import World, now

pytestmark = pytest.mark.anyio
START = datetime(2024, 5, 1, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)


async def agent_of(world: World, **values: Any) -> Agent:
    agent = Agent(**{"workspace_id": world.workspace.id, "name": "Hand", "slug": f"a{new_id()}"} | values)
    await world.add(agent)
    return agent


async def run_of(world: World, agent: Agent) -> Run:
    """In a chat of its own."""
    chat = Chat(workspace_id=agent.workspace_id, agent_id=agent.id)
    run = Run(
        workspace_id=agent.workspace_id,
        agent_id=agent.id,
        chat_id=chat.id,
        status=RunStatus.COMPLETED,
        finished_at=now(),
    )
    await world.add(chat, run)
    return run


async def show(
    world: World, run: Run, seq: int, type: ChatEventType, content: str = "", after: int = 0, **metadata: Any
) -> None:
    payload = {"type": type, "content": content} | ({"metadata": metadata} if metadata else {})
    frame = RunFrame(
        chat_id=run.chat_id or "",
        seq=seq,
        run_id=run.id,
        type="chat_event",
        payload=payload,
        workspace_id=run.workspace_id,
    )
    frame.agent_id = run.agent_id if type in OUTPUT else None
    frame.created_at = START + after * SECOND
    await world.add(frame)


async def logs(world: World, agent_id: str, **query: Any) -> list[dict[str, Any]]:
    async with world.client(world.viewer) as client:
        answer = await client.get(
            f"/api/v1/agents/{agent_id}/logs", params={"workspace_id": world.workspace.id} | query
        )
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def test_what_adapters_put_out_run_after_run(world: World) -> None:
    agent = await agent_of(world, slug="stoker")
    one, two = await run_of(world, agent), await run_of(world, agent)
    await show(world, two, 1, ChatEventType.text, "Later", after=5)
    await show(world, one, 2, ChatEventType.user_message, "Hello", author_user_id="u")
    await show(world, one, 3, ChatEventType.tool_call, "Bash", after=1, tool_name="Bash", tool_id="t1", input={"n": 1})
    await show(world, one, 4, ChatEventType.error, "Broken", after=1)
    await show(world, one, 5, ChatEventType.done, after=2)
    begin = RunFrame(
        chat_id=one.chat_id or "",
        seq=1,
        run_id=one.id,
        type="run_begin",
        payload={"from_seq": 0},
        workspace_id=one.workspace_id,
    )
    unasked = RunFrame(
        chat_id=one.chat_id or "",
        seq=6,
        type="chat_event",
        payload={"type": "text", "content": "x"},
        workspace_id=one.workspace_id,
    )
    await world.add(begin, unasked)
    other = await run_of(world, await agent_of(world))
    await show(world, other, 1, ChatEventType.text, "Another agent's")
    common = {"level": "info", "agent": "stoker"}
    assert await logs(world, agent.id) == [
        common | {"ts": "2024-05-01T10:00:01Z", "event": "tool_call", "content": "Bash", "tool": "Bash",
                  "metadata": {"tool_name": "Bash", "tool_id": "t1", "input": {"n": 1}}},
        common | {"ts": "2024-05-01T10:00:01Z", "event": "error", "content": "Broken"},
        common | {"ts": "2024-05-01T10:00:05Z", "event": "text", "content": "Later"},
    ]  # fmt: skip


@each_of("type_", ChatEventType)
async def test_what_is_an_entry(world: World, type_: ChatEventType) -> None:
    agent = await agent_of(world)
    await show(world, await run_of(world, agent), 1, type_, "x")
    is_output = type_ not in (
        ChatEventType.done,
        ChatEventType.user_message,
        ChatEventType.agent_busy,
        ChatEventType.crew_provisioning,
    )
    assert [entry["event"] for entry in await logs(world, agent.id)] == ([type_] if is_output else [])


async def test_pages(world: World) -> None:
    agent = await agent_of(world)
    run = await run_of(world, agent)
    await show(world, run, 1, ChatEventType.text, "1")
    await world.database.execute(
        "INSERT INTO run_frames SELECT (jsonb_populate_record(f, jsonb_build_object('seq', n, "
        "'payload', f.payload || jsonb_build_object('content', n::text)))).* "
        "FROM run_frames f, generate_series(2, 600) n WHERE f.run_id = $1",
        run.id,
    )

    async def shown(**query: Any) -> list[int]:
        return [int(entry["content"]) for entry in await logs(world, agent.id, **query)]

    assert await shown() == list(range(1, 101))
    assert await shown(tail="true", crew_id="nothing") == list(range(1, 101))
    assert await shown(limit=1000) == list(range(1, 501))
    assert await shown(limit=3, offset=596) == [597, 598, 599]
    assert await shown(offset=600) == []
    for bad in (0, -1, "x"):
        assert await shown(limit=bad, offset=bad) == list(range(1, 101))


async def test_of_whom_there_is_nothing_to_say(world: World) -> None:
    assert await logs(world, (await agent_of(world)).id) == []
    theirs, gone = await agent_of(world, workspace_id=world.other.id), await agent_of(world, deleted_at=now())
    await show(world, await run_of(world, theirs), 1, ChatEventType.text, "theirs")
    for id in (theirs.id, gone.id, "nothing"):
        assert (await world.rest(world.viewer, "GET", f"/api/v1/agents/{id}/logs")).status_code == 404


async def test_by_graphql(world: World) -> None:
    agent = await agent_of(world, slug="bosun")
    run = await run_of(world, agent)
    await show(world, run, 7, ChatEventType.tool_call, "Bash", tool_name="Bash")
    document = """query($ws: ID!, $id: ID!) { agentLogs(workspaceId: $ws, agentId: $id) {
        totalCount nodes { ts runId chatId seq level agent event content tool metadata }
    } }"""
    answer = await world.graphql(world.viewer, document, {"id": agent.id})
    entry: dict[str, Any] = {
        "ts": "2024-05-01T10:00:00Z",
        "runId": run.id,
        "chatId": run.chat_id,
        "seq": 7,
        "level": "info",
        "agent": "bosun",
        "event": "tool_call",
    }
    entry |= {"content": "Bash", "tool": "Bash", "metadata": {"tool_name": "Bash"}}
    assert answer["data"]["agentLogs"] == {"totalCount": 1, "nodes": [entry]}
