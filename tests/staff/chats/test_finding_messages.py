"""Messages of a chat found by their words and numbers, and the end of a long turn."""

from typing import Any

import pytest

from models.staff.chats import Message, MessageRole
from resolvers.staff.chats.messages import LOOKED_AT, NEWEST_PARTS, SHORT
from tests.staff.chats.rooms import agent_of, chat_of, said
from tests.world import World

pytestmark = pytest.mark.anyio
FIND = """query($chat: ID!, $search: String, $from: Int, $until: Int, $sort: MessageSort, $after: String) {
    findMessages(chatId: $chat, search: $search, fromSeq: $from, untilSeq: $until, sort: $sort, after: $after, first: 2)
    { totalCount nodes { seq } pageInfo { endCursor } } }"""
PARTS = "query($chat: ID!) { messages(chatId: $chat) { nodes { partCount newestParts } } }"


@pytest.fixture(scope="module")
async def chat(world: World) -> str:
    """Its newest message is so new that a search does not look at the first one."""
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    for seq, content in ((1, "Rain 100%"), (2, "rain"), (3, "Sun"), (LOOKED_AT + 1, "RAIN again")):
        await said(world, chat, content, seq=seq)
    await world.database.execute("UPDATE chats SET last_message_seq = $2 WHERE id = $1", chat.id, LOOKED_AT + 1)
    return str(chat.id)


async def find(world: World, chat: str, person: Any = None, **given: Any) -> tuple[list[int], int]:
    answer = await world.graphql(person or world.viewer, FIND, {"chat": chat} | given)
    assert "errors" not in answer, answer["errors"]
    found = answer["data"]["findMessages"]
    return [node["seq"] for node in found["nodes"]], found["totalCount"]


async def test_each_filter_narrows(world: World, chat: str) -> None:
    last = LOOKED_AT + 1
    assert await find(world, chat) == ([last, 3], 4)
    assert await find(world, chat, search="rain") == ([last, 2], 2), "the first one is too old"
    assert await find(world, chat, search="%") == ([], 0)
    assert await find(world, chat, until=3) == ([3, 2], 3)
    assert await find(world, chat, **{"from": 2}, sort="oldest") == ([2, 3], 3)
    assert await find(world, chat, search="rain", until=3) == ([2], 1)
    assert await find(world, chat, person=world.outsider) == ([], 0)
    assert await find(world, "unknown") == ([], 0)


async def test_of_a_long_turn_the_end_is_shown_first(world: World) -> None:
    chat = await chat_of(world, await agent_of(world), last_message_seq=3)
    here = {"chat_id": chat.id, "workspace_id": world.workspace.id, "role": MessageRole.assistant}
    few: list[Any] = [{"type": "text", "content": "x"}] * (NEWEST_PARTS + 1)
    # what does not compress, and so stays as large
    many = [{"type": "tool_result", "content": "".join(chr(0x4E00 + (n * at) % 20_000) for n in range(4_000))}
            for at in range(1, SHORT // 2_000)]  # fmt: skip
    for seq, parts in enumerate((few, many, None), 1):
        await world.add(Message(seq=seq, content="", parts=parts, **here))
    nodes = (await world.graphql(world.viewer, PARTS, {"chat": chat.id}))["data"]["messages"]["nodes"]
    assert nodes == [
        {"partCount": len(few), "newestParts": few},
        {"partCount": len(many), "newestParts": many[-NEWEST_PARTS:]},
        {"partCount": 0, "newestParts": None},
    ]
