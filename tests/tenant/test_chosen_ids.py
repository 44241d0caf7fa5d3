"""Ids clients choose are their workspace's: another may have the same; neither sees, meets or takes the other's."""

from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from models.staff.chats import Chat
from tests.live.sockets import client_of
from tests.staff.chats.rooms import send
from tests.world import World

pytestmark = pytest.mark.anyio


async def twins(world: World) -> tuple[Chat, Chat]:
    """A chat here and one in the other workspace, with one id."""
    id, made = f"day {new_id()}", []
    for workspace, person in ((world.workspace, world.owner), (world.other, world.outsider)):
        agent = Agent(workspace_id=workspace.id, name="Hand", slug=f"a{new_id()}")
        await world.add(agent)
        async with world.client(person) as client:
            path = f"/api/v1/agents/{agent.id}/chats"
            answer = await client.post(path, params={"workspace_id": workspace.id}, json={"session_id": id})
        assert (answer.status_code, answer.json()) == (201, {"id": id})
        made.append(Chat(id=id, workspace_id=workspace.id, agent_id=agent.id))
    return made[0], made[1]


async def messages(world: World, person: Any, chat: Chat, **query: str) -> list[str]:
    async with world.client(person) as client:
        answer = await client.get(f"/api/v1/chats/{chat.id}/messages", params=query)
    return [message["content"] for message in answer.json()["messages"]]


async def test_equal_ids_of_two_workspaces_are_two_chats(world: World) -> None:
    here, there = await twins(world)
    assert (await send(world, world.owner, here.id, "ours"))["runId"]
    assert (await send(world, world.outsider, there.id, "theirs"))["runId"]  # and the live run here is in nobody's way
    assert await messages(world, world.owner, here) == ["ours"]
    assert await messages(world, world.outsider, there) == ["theirs"]
    async with world.client(world.outsider) as client:
        path = f"/api/v1/agents/{there.agent_id}/chats/{there.id}/read"
        assert (await client.put(path, params={"workspace_id": world.other.id})).status_code == 200
    marks = await world.database.fetch(
        "SELECT workspace_id, last_read_seq FROM chat_read_cursors WHERE chat_id = $1", here.id
    )
    assert [tuple(mark) for mark in marks] == [(world.other.id, 1)]


async def test_sockets_hear_the_chat_of_their_own_workspace(world: World) -> None:
    here, there = await twins(world)
    name = f"session:{here.id}"
    async with client_of(world, world.owner) as ours, client_of(world, world.outsider) as theirs:
        for client in (ours, theirs):
            await client.subscribe(name)
            await client.settle()
        await send(world, world.owner, here.id, "ours")
        await ours.until(lambda: len(ours.on(name)) == 2)
        steer = "mutation($i: SteerChatInput!) { steerChat(input: $i) { queued } }"
        await world.graphql(world.outsider, steer, {"i": {"chatId": there.id, "message": "theirs"}})
        await theirs.until(lambda: len(theirs.on(name)) == 1)
        await ours.settle()
        assert [frame["type"] for frame in ours.on(name)] == ["run_begin", "chat_event"]
        assert [frame["type"] for frame in theirs.on(name)] == ["steering_queued"]
        cursor = theirs.on(name)[0]["cursor"]
    async with client_of(world, world.outsider) as theirs:  # and what is read again
        await theirs.subscribe(name, after=cursor)
        await send(world, world.outsider, there.id, "more")
        await theirs.until(lambda: len(theirs.on(name)) == 2)
        assert theirs.numbers(name) == [1, 2]


async def test_of_two_own_chats_the_named_workspace_s_is_meant_else_that_of_the_older_membership(world: World) -> None:
    here, there = await twins(world)
    await send(world, world.owner, here.id, "ours")
    await send(world, world.outsider, there.id, "theirs")
    # nobody asked
    await world.add(Membership(workspace_id=world.other.id, user_id=world.owner.user_id, role=Role.VIEWER))
    try:
        assert await messages(world, world.owner, here) == ["ours"]
        assert await messages(world, world.owner, here, workspace_id=world.other.id) == ["theirs"]
        assert await messages(world, world.owner, here, workspace_id=world.workspace.id) == ["ours"]
    finally:
        await world.database.execute(
            "DELETE FROM memberships WHERE user_id = $1 AND workspace_id = $2", world.owner.user_id, world.other.id
        )


async def test_a_socket_does_not_go_over_to_another_workspace_s_chat(world: World) -> None:
    """A member of both who leaves the first one is refused there, and hears nothing of the second in its place."""
    from resolvers.attention.channels import open_channel
    from resolvers.errors import Code, Refusal

    here, there = await twins(world)
    person = await world.person(f"p{new_id()}", Role.VIEWER)
    await world.add(Membership(workspace_id=world.other.id, user_id=person.user_id, role=Role.VIEWER))
    known = await open_channel(person.caller, f"session:{here.id}")
    assert known.workspace_id == here.workspace_id
    await world.database.execute(
        "DELETE FROM memberships WHERE user_id = $1 AND workspace_id = $2", person.user_id, here.workspace_id
    )
    with pytest.raises(Refusal) as refused:
        await open_channel(person.caller, known.name, known.workspace_id)
    assert refused.value.code is Code.NOT_FOUND
    assert (await open_channel(person.caller, known.name)).workspace_id == there.workspace_id
