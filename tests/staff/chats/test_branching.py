"""Chats that begin from the messages of others."""

from typing import Any

import pytest

from models.staff.chats import MessageRole
from resolvers.staff.chats import branching
from tests.staff.chats.rooms import agent_of, chat_of, elsewhere, row, rows, said
from tests.world import Person, World

pytestmark = pytest.mark.anyio
BRANCH = """mutation($i: BranchChatInput!) { branchChat(input: $i) {
    id title messageCount unreadCount creator { id } messages { nodes { role content parts author { id } } } } }"""


async def branch(world: World, person: Person, chat_id: str, message_id: str, **more: Any) -> dict[str, Any]:
    return await world.graphql(person, BRANCH, {"i": {"chatId": chat_id, "messageId": message_id} | more})


async def test_a_branch_has_the_messages_up_to_one(world: World) -> None:
    chat = await chat_of(world, title="Weather", message_count=4, last_message_seq=4)
    parts = [{"type": "text", "content": "Rain"}]
    asked = await said(world, chat, "Rain?", seq=1, role=MessageRole.user, author_user_id=world.owner.user_id)
    rain = await said(world, chat, "Rain", seq=2, parts=parts)
    again = await said(world, chat, "Tomorrow?", seq=3, role=MessageRole.user, author_user_id=world.owner.user_id)
    await said(world, chat, "Sun", seq=4)
    made = (await branch(world, world.member, chat.id, rain.id))["data"]["branchChat"]
    assert (made["title"], made["messageCount"], made["unreadCount"]) == ("Weather", 2, 0)
    assert made["creator"] == {"id": world.member.user_id}
    assert made["messages"]["nodes"] == [
        {"role": "user", "content": "Rain?", "parts": None, "author": {"id": world.owner.user_id}},
        {"role": "assistant", "content": "Rain", "parts": parts, "author": None},
    ]
    before = (await branch(world, world.member, chat.id, again.id, before=True))["data"]["branchChat"]
    assert [one["content"] for one in before["messages"]["nodes"]] == ["Rain?", "Rain"]
    empty = (await branch(world, world.member, chat.id, asked.id, before=True))["data"]["branchChat"]
    assert (empty["messageCount"], empty["messages"]["nodes"]) == (0, [])
    assert len(await rows(world, "SELECT id FROM messages WHERE chat_id = $1", chat.id)) == 4
    assert (await row(world, "chats", made["id"]))["last_message_seq"] == 2


async def test_a_branch_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = await chat_of(world)
    messages = [await said(world, chat, f"{seq}", seq=seq) for seq in range(1, 6)]
    monkeypatch.setattr(branching, "MOST_COPIED", 2)
    made = (await branch(world, world.owner, chat.id, messages[-1].id))["data"]["branchChat"]
    assert [one["content"] for one in made["messages"]["nodes"]] == ["4", "5"]
    monkeypatch.setattr(branching, "MOST_BYTES", 1)
    before = await world.snapshot()
    refused = await branch(world, world.owner, chat.id, messages[-1].id)
    assert (refused["errors"][0]["message"], await world.snapshot()) == (branching.TOO_LARGE, before)


async def test_what_is_not_there_cannot_be_branched(world: World) -> None:
    agent = await agent_of(world)
    chat, other = await chat_of(world, agent), await chat_of(world, agent)
    foreign = await elsewhere(world)
    message = await said(world, other, "Elsewhere", seq=1)
    theirs = await said(world, foreign, "Theirs", seq=1)
    before = await world.snapshot()
    for chat_id, message_id in ((chat.id, message.id), (chat.id, "absent"), (foreign.id, theirs.id)):
        answer = await branch(world, world.owner, chat_id, message_id)
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert await world.snapshot() == before
