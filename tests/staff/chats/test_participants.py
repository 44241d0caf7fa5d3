"""Participants: who is added and removed by whom, and what that makes of a chat."""

from typing import Any

import pytest

from models.staff.chats import Chat
from tests.staff.chats.rooms import chat_of, elsewhere, events, position, row, rows
from tests.world import Person, World

pytestmark = pytest.mark.anyio


def path(chat: Chat, user_id: str = "") -> str:
    return f"/api/v1/chats/{chat.id}/participants{'/' + user_id if user_id else ''}"


async def add(world: World, person: Person, chat: Chat, body: Any) -> int:
    return (await world.rest(person, "POST", path(chat), body, workspace=None)).status_code


async def listed(world: World, person: Person, chat: Chat) -> list[tuple[str, str, str]]:
    answer = await world.rest(person, "GET", path(chat), workspace=None)
    assert answer.status_code == 200, answer.text
    return [(one["user_id"], one["email"], one["role"]) for one in answer.json()["participants"]]


async def test_the_first_one_makes_a_group_which_its_creator_owns(world: World) -> None:
    chat, since = await chat_of(world, created_by=world.member.user_id), await position(world)
    assert await listed(world, world.viewer, chat) == []
    assert await add(world, world.member, chat, {"user_id": world.viewer.user_id, "role": "captain"}) == 204
    assert await add(world, world.admin, chat, {"user_id": world.viewer.user_id, "role": "owner"}) == 204
    assert await listed(world, world.viewer, chat) == [
        (world.member.user_id, world.member.email, "owner"),
        (world.viewer.user_id, world.viewer.email, "member"),
    ]
    assert (await row(world, "chats", chat.id))["visibility"] == "group"
    told = [(kind, payload["user_id"]) for _, kind, payload in await events(world, since)]
    assert told == [("participant.added", world.member.user_id), ("participant.added", world.viewer.user_id)]


async def test_refusals_and_their_order(world: World) -> None:
    chat, foreign = await chat_of(world, created_by=world.member.user_id), await elsewhere(world)
    here, since = {"user_id": world.viewer.user_id}, await position(world)
    assert await add(world, world.owner, foreign, {}) == 404
    assert await add(world, world.viewer, chat, {}) == 403
    assert await add(world, world.manager, chat, here) == 403
    for body in ({}, {"user_id": ""}, {"user_id": 5}, {"user_id": world.outsider.user_id}, {"user_id": "cnobody"}):
        assert await add(world, world.member, chat, body) == 400, body
    for person, id, status in (
        (world.viewer, world.viewer.user_id, 403),
        (world.member, world.member.user_id, 400),
        (world.member, "cnobody", 204),
    ):
        answer = await world.rest(person, "DELETE", path(chat, id), workspace=None)
        assert answer.status_code == status
    answer = await world.rest(world.owner, "DELETE", path(foreign, world.outsider.user_id), workspace=None)
    assert answer.status_code == 404
    assert (await world.rest(world.owner, "GET", path(foreign), workspace=None)).status_code == 404
    assert (await row(world, "chats", chat.id))["visibility"] == "private"
    assert await events(world, since) == []


async def test_who_is_removed_or_leaves_the_workspace_takes_part_no_more(world: World) -> None:
    chat, leaver = await chat_of(world), await world.person("goer", "MEMBER")
    for person in (world.viewer, leaver):
        assert await add(world, world.owner, chat, {"user_id": person.user_id}) == 204
    answer = await world.rest(world.owner, "DELETE", path(chat, world.viewer.user_id), workspace=None)
    assert answer.status_code == 204
    member = f"/api/v1/workspaces/{world.workspace.id}/members/{leaver.membership_id}"
    left = await world.rest(world.owner, "DELETE", member)
    assert left.status_code < 300, left.text
    assert [id for id, _, _ in await listed(world, world.owner, chat)] == [world.owner.user_id]
    assert (await row(world, "chats", chat.id))["visibility"] == "group"


async def test_graphql_shows_them_below_the_chat(world: World) -> None:
    chat = await chat_of(world)
    add = "mutation($i: AddParticipantInput!) { addChatParticipant(input: $i) { success } }"
    added = await world.graphql(world.owner, add, {"i": {"chatId": chat.id, "userId": world.viewer.user_id}})
    assert "errors" not in added, added
    shown = "query($c: ID!) { chat(id: $c) { participants { userId role user { email } } } }"
    answer = await world.graphql(world.viewer, shown, {"c": chat.id})
    assert answer["data"]["chat"]["participants"] == [
        {"userId": world.owner.user_id, "role": "owner", "user": {"email": world.owner.email}},
        {"userId": world.viewer.user_id, "role": "member", "user": {"email": world.viewer.email}},
    ]
    assert len(await rows(world, "SELECT 1 FROM chat_participants WHERE chat_id = $1", chat.id)) == 2
