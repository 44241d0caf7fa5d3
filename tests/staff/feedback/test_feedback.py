"""Feedback on answers, as the contract states it."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.people.workspaces import Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat
from tests.every import each_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/feedback"
SIGNALS = ("helpful", "not_helpful", "inaccurate", "unsafe", "edit", "regenerate")


async def give(world: World, person: Person, message_id: str, signal: str = "helpful", **more: Any) -> httpx2.Response:
    return await world.rest(person, "POST", PATH, {"message_id": message_id, "signal": signal, **more}, workspace=None)


async def given(world: World, person: Person, message_id: str, signal: str = "helpful", **more: Any) -> str:
    answer = await give(world, person, message_id, signal, **more)
    assert answer.status_code == 201, answer.text
    body: dict[str, str] = answer.json()
    assert body.keys() == {"id"}
    return body["id"]


async def listed(world: World, person: Person, **query: str) -> list[dict[str, Any]]:
    async with world.client(person) as client:
        answer = await client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["feedback"]  # type: ignore[no-any-return]


async def delete(world: World, person: Person, **query: str) -> int:
    async with world.client(person) as client:
        return (await client.delete(PATH, params=query)).status_code


async def chat(world: World, workspace_id: str = "") -> str:
    here = {"workspace_id": workspace_id or world.workspace.id}
    agent = Agent(name="Ada", slug=new_id(), **here)
    made = Chat(id=new_id(), agent_id=agent.id, **here)
    await world.add(agent, made)
    return made.id


async def place(world: World, id: str) -> str:
    found: str = await world.database.fetchval("SELECT workspace_id FROM message_feedback WHERE id = $1", id)
    return found


async def test_feedback_is_given_replaced_and_taken_back(world: World) -> None:
    about, message = await chat(world), new_id()
    id = await given(world, world.viewer, message, chat_id=about, trace_id="trace", reason=" Good ")
    (shown,) = await listed(world, world.viewer, message_id=message)
    assert shown == {
        "id": id,
        "message_id": message,
        "chat_id": about,
        "trace_id": "trace",
        "signal": "helpful",
        "reason": " Good ",
        "user_id": world.viewer.user_id,
        "created_at": shown["created_at"],
    }
    assert await given(world, world.viewer, message) == id
    (again,) = await listed(world, world.viewer, message_id=message)
    assert again == {name: value for name, value in shown.items() if name != "reason"}, "the reason is cleared"
    other = await given(world, world.viewer, message, "unsafe")
    assert [row["id"] for row in await listed(world, world.viewer, message_id=message)] == [other, id]
    for _ in range(2):
        assert await delete(world, world.viewer, message_id=f" {message} ", signal=" helpful ") == 204
    assert [row["id"] for row in await listed(world, world.viewer, message_id=message)] == [other]
    assert await world.audit() == []
    assert await world.events() == []


async def test_a_trace_has_the_feedback_of_its_messages(world: World) -> None:
    trace = new_id()
    ids = [await given(world, world.viewer, f"{trace}-{n}", trace_id=trace) for n in range(3)]
    assert [row["id"] for row in await listed(world, world.viewer, trace_id=f" {trace} ")] == ids[::-1]
    assert [r["id"] for r in await listed(world, world.viewer, message_id=f"{trace}-1", trace_id="other")] == [ids[1]]


async def test_everybody_has_their_own(world: World) -> None:
    message, about = new_id(), await chat(world)
    people = (world.owner, world.admin, world.manager, world.member, world.viewer)
    ids = {person.name: await given(world, person, message, chat_id=about) for person in people}
    assert len(set(ids.values())) == 5
    for person in people:
        assert [row["id"] for row in await listed(world, person, message_id=message)] == [ids[person.name]]
    assert await delete(world, world.owner, message_id=message, signal="helpful") == 204
    assert len(await listed(world, world.viewer, message_id=message)) == 1


async def test_two_at_once_are_one(world: World) -> None:
    for n in range(3):
        message = f"{new_id()}-{n}"
        answers = await asyncio.gather(*[give(world, world.member, message, reason=str(i)) for i in range(5)])
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1


async def test_it_belongs_to_the_chats_workspace_or_to_the_one_joined_last(world: World) -> None:
    later = Workspace(name="Later", slug=new_id())
    gone = Workspace(name="Gone", slug=new_id(), deleted_at=now())
    await world.add(later, gone)
    for workspace, minutes in ((later, 1), (gone, 2)):
        joined = now() + timedelta(minutes=minutes)
        await world.add(
            Membership(
                workspace_id=workspace.id,
                user_id=world.member.user_id,
                role=Role.VIEWER,
                created_at=joined,
                accepted_at=joined,
            )
        )
    try:
        id = await given(world, world.member, "moving")
        assert await place(world, id) == later.id, "a deleted workspace is joined by nobody"
        about = await chat(world)
        assert await given(world, world.member, "moving", chat_id=f" {about} ") == id
        assert await place(world, id) == world.workspace.id
        assert await given(world, world.member, "moving", "helpful", reason="x") == id
        assert await place(world, id) == world.workspace.id, "where its chat is"
        elsewhere = await chat(world, later.id)
        assert await given(world, world.member, "moving", chat_id=elsewhere) == id
        assert await place(world, id) == later.id
    finally:
        await world.database.execute("DELETE FROM memberships WHERE workspace_id = ANY ($1)", [later.id, gone.id])
    assert await listed(world, world.member, message_id="moving") == [], "of a workspace that was left"
    assert await given(world, world.member, "moving", chat_id=about) == id
    assert len(await listed(world, world.member, message_id="moving")) == 1


async def test_it_goes_with_its_chat_and_loses_its_user(world: World) -> None:
    about, message = await chat(world), new_id()
    person = await world.person(new_id(), Role.VIEWER)
    await given(world, person, message, chat_id=about)
    kept = await given(world, person, f"{message}-2")
    await world.database.execute("DELETE FROM chats WHERE id = $1", about)
    assert await listed(world, person, message_id=message) == []
    await world.database.execute("DELETE FROM users WHERE id = $1", person.user_id)
    assert await world.database.fetchval("SELECT user_id FROM message_feedback WHERE id = $1", kept) is None


async def test_a_chat_of_others_is_like_none(world: World) -> None:
    before, foreign = await world.snapshot(), await chat(world, world.other.id)
    told = set()
    for id in (foreign, new_id(), "x" * 256):
        answer = await give(world, world.owner, "m", chat_id=id)
        told.add((answer.status_code, answer.json()["detail"]))
    assert told == {(404, "Chat not found")}
    after = await world.snapshot()
    assert after["message_feedback"] == before["message_feedback"]


async def test_somebody_without_a_workspace_needs_a_chat(world: World) -> None:
    assert (await give(world, world.nobody, "m")).status_code == 403
    assert (await give(world, world.nobody, "m", chat_id=await chat(world))).status_code == 404
    assert await listed(world, world.nobody, message_id="m") == []


@each_of(
    "body",
    [
        {},
        {"message_id": " ", "signal": "helpful"},
        {"message_id": 5, "signal": "helpful"},
        {"message_id": "m" * 257, "signal": "helpful"},
        {"message_id": "m\0", "signal": "helpful"},
        {"message_id": "m", "signal": "Helpful"},
        {"message_id": "m", "signal": ""},
        {"message_id": "m"},
        {"message_id": "m", "signal": "helpful", "chat_id": "c" * 257},
        {"message_id": "m", "signal": "helpful", "trace_id": "t" * 257},
        {"message_id": "m", "signal": "helpful", "reason": "r" * 4097},
        {"message_id": "m", "signal": "helpful", "reason": 1},
    ],
)
async def test_bad_feedback_is_refused_and_writes_nothing(world: World, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    answer = await world.rest(world.owner, "POST", PATH, body, workspace=None)
    assert answer.status_code == 400
    if body.keys() <= {"message_id", "signal"} and body.get("signal") in (None, "", "Helpful"):
        told = answer.json()["fields"]["signal"]
        assert all(signal in told for signal in SIGNALS)
    assert await world.snapshot() == before


async def test_a_large_body_is_not_looked_at(world: World) -> None:
    sent = {"message_id": "m", "signal": "none", "reason": "r" * 20_480}
    assert (await world.rest(world.owner, "POST", PATH, sent, workspace=None)).status_code == 413


@pytest.mark.parametrize("query", [{}, {"message_id": "", "trace_id": " "}, {"message_id": "m" * 257}])
async def test_a_list_is_of_something(world: World, query: dict[str, str]) -> None:
    async with world.client(world.owner) as client:
        assert (await client.get(PATH, params=query)).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        {"message_id": "m"},
        {"signal": "edit"},
        {"message_id": "m", "signal": "x"},
        {"message_id": " ", "signal": "edit"},
    ],
)
async def test_what_is_taken_back_is_named(world: World, query: dict[str, str]) -> None:
    assert await delete(world, world.owner, **query) == 400


async def test_graphql_gives_and_takes_the_same(world: World) -> None:
    message = new_id()
    create = "mutation($in: CreateFeedbackInput!) { createFeedback(input: $in) { id signal reason workspaceId } }"
    sent = {"messageId": message, "signal": "edit", "reason": "Rewritten"}
    made = (await world.graphql(world.viewer, create, {"in": sent}))["data"]["createFeedback"]
    own = {"signal": "edit", "reason": "Rewritten", "workspaceId": world.workspace.id}
    assert made == {"id": made["id"]} | own
    read = "query($id: ID) { feedback(messageId: $id) { id userId } }"
    found = (await world.graphql(world.viewer, read, {"id": message}))["data"]["feedback"]
    assert found == [{"id": made["id"], "userId": world.viewer.user_id}]
    remove = "mutation($in: OfSignalInput!) { deleteFeedback(input: $in) { success } }"
    gone = await world.graphql(world.viewer, remove, {"in": {"messageId": message, "signal": "edit"}})
    assert gone["data"]["deleteFeedback"] == {"success": True}
    assert (await world.graphql(world.viewer, read, {"id": message}))["data"]["feedback"] == []
