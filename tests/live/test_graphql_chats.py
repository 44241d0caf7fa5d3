"""Joining a chat over GraphQL: the history in one query, and everything behind it once."""

from datetime import datetime, timedelta

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import Run, RunFrame
from resolvers.kernel.store.bus import Topic, bus
from tests.live.graphql import Talk, talking
from tests.world import World

pytestmark = pytest.mark.anyio
HISTORY = "query($chat: ID!) { chat(id: $chat) { lastSeq runs(limit: 1, status: RUNNING) { nodes { fromSeq } } } }"
FRAMES = """
    subscription($chat: ID!, $after: String, $afterSeq: Int) {
      chatEvents(chatId: $chat, after: $after, afterSeq: $afterSeq) {
        ... on Event { cursor } ... on RunBegin { begin: seq } ... on ChatFrame { seq content } }
    }
"""


@pytest.fixture
async def chat(world: World) -> Chat:
    """Two turns, the second one half way: frames 1-3 and 4-6."""
    agent = Agent(workspace_id=world.workspace.id, name="Scout", slug=new_id())
    made = Chat(workspace_id=world.workspace.id, agent_id=agent.id, last_seq=6)
    of = {"workspace_id": world.workspace.id, "chat_id": made.id}
    first = Run(agent_id=agent.id, status="COMPLETED", **of)
    second = Run(agent_id=agent.id, **of)
    await world.add(agent, made, first, second)
    for run, start in ((first, 1), (second, 4)):
        await world.add(RunFrame(seq=start, run_id=run.id, type="run_begin", payload={"from_seq": start - 1}, **of))
        for seq in (start + 1, start + 2):
            await world.add(
                RunFrame(seq=seq, run_id=run.id, type="chat_event", payload={"type": "text", "content": str(seq)}, **of)
            )
    return made


async def heard(talk: Talk, count: int) -> list[int]:
    found = [(await talk.next("s"))["chatEvents"] for _ in range(count)]
    return [frame.get("seq", frame.get("begin")) for frame in found]


async def test_a_live_run_is_joined_from_its_beginning(world: World, chat: Chat) -> None:
    found = (await world.graphql(world.viewer, HISTORY, {"chat": chat.id}))["data"]["chat"]
    assert found == {"lastSeq": 6, "runs": {"nodes": [{"fromSeq": 3}]}}
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", FRAMES, chat=chat.id, afterSeq=3)
        assert await heard(talk, 3) == [4, 5, 6]
        assert await talk.silent()


async def test_who_has_seen_all_gets_nothing_again(world: World, chat: Chat) -> None:
    async with talking(world, world.viewer) as talk:
        for number in (6, 7):
            await talk.subscribe("s", FRAMES, chat=chat.id, afterSeq=number)
            assert await talk.silent()
            await talk.say({"id": "s", "type": "complete"})


async def test_a_cursor_goes_before_a_number(world: World, chat: Chat) -> None:
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", FRAMES, chat=chat.id, afterSeq=0)
        assert await heard(talk, 4) == [1, 2, 3, 4]
        cursor = (await talk.next("s"))["chatEvents"]["cursor"]
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", FRAMES, chat=chat.id, after=cursor, afterSeq=0)
        assert await heard(talk, 1) == [6]
        assert await talk.silent()


async def test_frames_name_their_run_and_time_behind_and_live(world: World, chat: Chat) -> None:
    document = """subscription($chat: ID!) { chatEvents(chatId: $chat, afterSeq: 3) {
        ... on RunBegin { seq runId createdAt } ... on ChatFrame { seq runId createdAt }
    } }"""
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", document, chat=chat.id)
        found = [(await talk.next("s"))["chatEvents"] for _ in range(3)]
        sql = (
            "INSERT INTO run_frames (workspace_id, chat_id, seq, run_id, type, payload) VALUES ($1, $2, 7, $3, $4, $5)"
        )
        of = world.workspace.id, chat.id, found[0]["runId"]
        await world.database.execute(sql, *of, "chat_event", {"type": "text", "content": "7"})
        bus.ring(Topic.frames, f"{world.workspace.id}/{chat.id}")
        found.append((await talk.next("s"))["chatEvents"])
    rows = await world.database.fetch("SELECT seq, run_id, created_at FROM run_frames WHERE chat_id = $1", chat.id)
    stored = {row["seq"]: row for row in rows}
    assert [frame["seq"] for frame in found] == [4, 5, 6, 7]
    for frame in found:
        row = stored[frame["seq"]]
        at = datetime.fromisoformat(frame["createdAt"])
        assert (frame["runId"], abs(at - row["created_at"]) < timedelta(milliseconds=1)) == (row["run_id"], True)
