"""Reactions: what counts as an emoji, how they are counted, and who is told."""

from typing import Any
from urllib.parse import quote

import pytest

from models.staff.chats import Chat
from resolvers.staff.chats.reactions import MOST_EMOJI
from tests.every import each_of
from tests.staff.chats.rooms import chat_of, elsewhere, events, position, rows, said
from tests.world import Person, World

pytestmark = pytest.mark.anyio
THUMB, PARTY = "👍", "🎉"
MESSAGE = "msg_1_0000000000000001"
EMOJI = [
    THUMB,
    "👍🏽",
    "👨‍👩‍👧",
    "🇩🇪",
    "1\ufe0f\u20e3",
    "#\u20e3",
    "❤",
    "❤\ufe0f",
    "❤\ufe0f\u200d🔥",
    "©",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    THUMB * 8,
]
NONE = [
    "",
    "ok",
    "1",
    "é",
    "中",
    "<b>",
    "👍 ",
    "👍\n",
    "\u200d👍",
    "👍\u200d",
    "🇩",
    "🇩🇪🇫",
    "🏽",
    "\ufe0f",
    "\u202e👍",
    "👍a",
    "👍\U000e0067",
    THUMB * 9,
    "👍\u0000",
]


def path(chat: Chat, message: str = MESSAGE, emoji: str = "") -> str:
    return f"/api/v1/chats/{chat.id}/messages/{message}/reactions{'/' + quote(emoji, safe='') if emoji else ''}"


async def react(world: World, person: Person, chat: Chat, emoji: Any, message: str = MESSAGE) -> int:
    answer = await world.rest(person, "POST", path(chat, message), {"emoji": emoji}, workspace=None)
    if answer.status_code == 204:
        assert answer.content == b""
    return answer.status_code


async def shown(world: World, person: Person, chat: Chat, message: str = MESSAGE) -> list[tuple[str, int, bool]]:
    answer = await world.rest(person, "GET", path(chat, message), workspace=None)
    assert answer.status_code == 200, answer.text
    return [(one["emoji"], one["count"], one["mine"]) for one in answer.json()["reactions"]]


@each_of("emoji", EMOJI, ids=ascii)
async def test_what_is_made_of_emoji_is_kept(world: World, emoji: str) -> None:
    chat = await chat_of(world)
    assert await react(world, world.viewer, chat, emoji) == 204
    assert await shown(world, world.viewer, chat) == [(emoji, 1, True)]


@each_of("emoji", [*NONE, None, 5, ["👍"], {}], ids=ascii)
async def test_anything_else_is_refused_and_not_kept(world: World, emoji: Any) -> None:
    chat = await chat_of(world)
    since = await position(world)
    assert await react(world, world.viewer, chat, emoji) == 400
    assert await shown(world, world.viewer, chat) == []
    assert await events(world, since) == []


async def test_each_person_counts_once_and_takes_back_their_own(world: World) -> None:
    chat = await chat_of(world)
    since = await position(world)
    for person in (world.owner, world.owner, world.viewer):
        assert await react(world, person, chat, THUMB) == 204
    assert await react(world, world.member, chat, PARTY) == 204
    assert await shown(world, world.owner, chat) == [(THUMB, 2, True), (PARTY, 1, False)]
    assert await shown(world, world.admin, chat, "msg_other") == []

    for emoji in (THUMB, THUMB, PARTY, "nonsense"):
        answer = await world.rest(world.owner, "DELETE", path(chat, emoji=emoji), workspace=None)
        assert answer.status_code == 204
    assert await shown(world, world.owner, chat) == [(PARTY, 1, False), (THUMB, 1, False)], "by code points"
    told = [(kind, payload["emoji"], payload["user_id"]) for _, kind, payload in await events(world, since)]
    assert told == [
        ("reaction.added", THUMB, world.owner.user_id),
        ("reaction.added", THUMB, world.viewer.user_id),
        ("reaction.added", PARTY, world.member.user_id),
        ("reaction.removed", THUMB, world.owner.user_id),
    ]


async def test_a_message_has_only_so_many_different_ones(world: World) -> None:
    chat = await chat_of(world)
    made = [chr(0x1F400 + number) for number in range(MOST_EMOJI)]
    for emoji in made:
        assert await react(world, world.member, chat, emoji) == 204
    assert await react(world, world.member, chat, THUMB) == 400
    assert await react(world, world.viewer, chat, made[0]) == 204, "one that is there takes no new place"
    assert await react(world, world.member, chat, THUMB, "msg_other") == 204
    assert len(await shown(world, world.viewer, chat)) == MOST_EMOJI


async def test_a_chat_of_others_is_not_there_whatever_the_body_says(world: World) -> None:
    chat = await elsewhere(world)
    for method, at, body in (
        ("GET", path(chat), None),
        ("POST", path(chat), {"emoji": THUMB}),
        ("POST", path(chat), {"emoji": "no emoji"}),
        ("DELETE", path(chat, emoji=THUMB), None),
    ):
        answer = await world.rest(world.owner, method, at, body, workspace=None)
        assert answer.status_code == 404, answer.text
    assert await rows(world, "SELECT 1 FROM message_reactions WHERE chat_id = $1", chat.id) == []


async def test_graphql_reacts_and_shows_them_below_the_message(world: World) -> None:
    chat = await chat_of(world)
    message = await said(world, chat, seq=1)
    react = "mutation($i: AddReactionInput!) { addReaction(input: $i) { success } }"
    sent = {"i": {"chatId": chat.id, "messageId": message.id, "emoji": PARTY}}
    for person in (world.viewer, world.member):
        assert "errors" not in await world.graphql(person, react, sent)
    document = "query($c: ID!) { messages(chatId: $c) { nodes { id reactions { emoji count mine } } } }"
    answer = await world.graphql(world.viewer, document, {"c": chat.id})
    assert answer["data"]["messages"]["nodes"] == [
        {"id": message.id, "reactions": [{"emoji": PARTY, "count": 2, "mine": True}]}
    ]
    take = "mutation($i: RemoveReactionInput!) { removeReaction(input: $i) { success } }"
    assert "errors" not in await world.graphql(world.viewer, take, sent)
    assert await shown(world, world.viewer, chat, message.id) == [(PARTY, 1, False)]


async def test_they_go_with_the_chat_and_with_the_account(world: World) -> None:
    chat, leaver = await chat_of(world), await world.person("leaver", "MEMBER")
    assert await react(world, leaver, chat, THUMB) == 204
    assert await react(world, world.owner, chat, THUMB) == 204
    await world.database.execute("DELETE FROM users WHERE id = $1", leaver.user_id)
    assert await shown(world, world.owner, chat) == [(THUMB, 1, True)]
    answer = await world.rest(world.owner, "DELETE", f"/api/v1/agents/{chat.agent_id}/chats/{chat.id}")
    assert answer.status_code == 204
    assert await rows(world, "SELECT 1 FROM message_reactions WHERE chat_id = $1", chat.id) == []
