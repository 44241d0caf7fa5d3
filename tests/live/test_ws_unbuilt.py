"""Messages to agents whose image is not built yet (contract: chats.behaviour 5), on /ws and in GraphQL."""

from collections.abc import Iterator
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from resolvers.instance.running import instance
from resolvers.staff.crews import building
from resolvers.staff.runs import work
from tests.live.conversations import send
from tests.live.sockets import client_of
from tests.world import World

pytestmark = pytest.mark.anyio
CONFIG = '{"image": "debian:13", "postCreateCommand": "true"}'
SEND = 'mutation ($chat: ID!) { sendMessage(input: {chatId: $chat, content: "Hello"}) { runId } }'


@pytest.fixture
def engine() -> Iterator[None]:
    """One that nobody asks for anything: builds are of workers."""
    instance.containers = object()  # type: ignore[assignment]
    yield
    instance.containers = None


async def chat_of(world: World, **given: Any) -> tuple[Crew, Chat]:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Yard", slug=new_id(), devcontainer_config=CONFIG, **here, **given)
    agent = Agent(name="Scout", slug=new_id(), crew_id=crew.id, **here)
    chat = Chat(agent_id=agent.id, **here)
    await world.add(crew, agent, chat)
    return crew, chat


async def written(world: World, chat: Chat) -> tuple[Any, ...]:
    """What a message would leave."""
    counts = "(SELECT count(*) FROM messages WHERE chat_id = $1), (SELECT count(*) FROM runs WHERE chat_id = $1)"
    return tuple(await world.database.fetchrow(f"SELECT {counts}, last_seq FROM chats WHERE id = $1", chat.id))


@pytest.mark.usefixtures("engine")
async def test_a_message_begins_the_build_and_is_not_stored(world: World) -> None:
    crew, chat = await chat_of(world)
    name = f"session:{chat.id}"
    async with client_of(world, world.member) as client:
        for count in (3, 6):
            await send(client, chat.id)
            await client.until(lambda count=count: len(client.on(name)) == count)
        told, general, done = client.on(name)[:3]
        assert [frame["payload"]["type"] for frame in (told, general, done)] == ["crew_provisioning", "error", "done"]
        assert told["payload"]["content"] == building.NOT_YET
        expected = {"crew_id": crew.id, "crew_slug": crew.slug, "status": "pending"}
        assert told["payload"]["metadata"] == client.on(name)[3]["payload"]["metadata"] == expected
        assert not any("seq" in frame for frame in client.on(name))
    assert await written(world, chat) == (0, 0, 0)
    build = await world.database.fetchval("SELECT build FROM crews WHERE id = $1", crew.id)
    assert build["status"] == "pending"
    [error] = (await world.graphql(world.member, SEND, {"chat": chat.id}))["errors"]
    assert error["extensions"] == {"code": "CONFLICT", "reason": "crew_provisioning", **expected}
    assert await world.database.fetchval("SELECT build ->> 'id' FROM crews WHERE id = $1", crew.id) == build["id"]


@pytest.mark.usefixtures("engine")
async def test_a_build_that_failed_is_begun_again_and_says_why_it_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {
        "id": new_id(),
        "status": "failed",
        "error": "there is no such image",
        "started_at": "2026-01-01T00:00:00",
    }
    crew, chat = await chat_of(world, build=failed)
    [error] = (await world.graphql(world.member, SEND, {"chat": chat.id}))["errors"]
    told = error["extensions"]
    assert (told["status"], told["error"], error["message"]) == ("pending", failed["error"], building.NOT_YET)
    build = await world.database.fetchval("SELECT build FROM crews WHERE id = $1", crew.id)
    assert (build["status"], build["id"] == failed["id"]) == ("pending", False)

    other, chat = await chat_of(world)
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"ratelimit_builds": 0}))
    [error] = (await world.graphql(world.member, SEND, {"chat": chat.id}))["errors"]
    told = error["extensions"]
    assert (told["status"], told["error"], error["message"]) == ("failed", building.FULL, building.NOT_NOW)
    assert await world.database.fetchval("SELECT build FROM crews WHERE id = $1", other.id) is None


@pytest.mark.parametrize("given", [{"cached_image": "crewship-cache:1"}, {"devcontainer_config": '{"image": "a"}'}, {}])
async def test_who_needs_no_build_is_answered(
    world: World, request: pytest.FixtureRequest, given: dict[str, Any]
) -> None:
    """With its image, where it needs none of its own, and on a server without an engine."""
    if given:
        request.getfixturevalue("engine")
    _, chat = await chat_of(world)
    for name, value in given.items():
        await world.database.execute(
            f"UPDATE crews SET {name} = $2 FROM agents a WHERE a.crew_id = crews.id AND a.id = $1", chat.agent_id, value
        )
    answer = await world.graphql(world.member, SEND, {"chat": chat.id})
    assert "errors" not in answer, answer
    assert await written(world, chat) == (1, 1, 2)
    assert [claim.chat_id for claim in await work.claim("w", 10, seconds=30.0)].count(chat.id) == 1
