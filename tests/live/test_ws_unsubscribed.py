"""What somebody sees of a chat without having subscribed to it: its own messages' runs and what it has asked for again,
and nothing of others'.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from models.staff.chats import Chat, ChatVisibility
from resolvers.kernel.declarations.events import address_of
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import hub
from tests.live.conversations import end_run, live_run, new_chat, resume, send, shown, text, write_frames
from tests.live.graphql import announce
from tests.live.sockets import Client, client_of
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Whoever reads behind waits until this is called."""
    opened, missed = asyncio.Event(), hub.missed

    async def gated(*arguments: Any) -> Any:
        await opened.wait()
        return await missed(*arguments)

    monkeypatch.setattr(hub, "missed", gated)
    return opened.set


async def group(world: World) -> tuple[Chat, str]:
    chat = await new_chat(world, visibility=ChatVisibility.group)
    await world.database.execute("UPDATE agents SET slug = $2 WHERE id = $1", chat.agent_id, f"hand-{chat.id}")
    return chat, f"session:{chat.id}"


async def ask(world: World, client: Client, chat: Chat, content: str = "") -> dict[str, Any]:
    """A message to the agent; returns its run."""
    await send(client, chat.id, f"@hand-{chat.id} {content}")
    async with asyncio.timeout(30):
        while not await world.database.fetchval(
            "SELECT count(*) FROM runs WHERE chat_id = $1 AND status = 'RUNNING'", chat.id
        ):
            await asyncio.sleep(0.01)
    return await live_run(world, chat)


async def nothing_more(client: Client, name: str) -> None:
    """Until the socket has left the chat; what was on its way is here."""
    await client.until(lambda: not any(address.endswith(name.removeprefix("session:")) for address in hub.channels))
    await client.settle()


async def test_words_among_users_show_nothing_of_the_run_that_is_live(world: World) -> None:
    chat, name = await group(world)
    async with client_of(world, world.owner) as owner, client_of(world, world.viewer) as viewer:
        run = await ask(world, owner, chat)
        await write_frames(world, chat, text("a"), text("b"), run=run)
        await owner.until(lambda: len(owner.on(name)) == 4)
        await send(viewer, chat.id, "not to the agent")
        await viewer.until(lambda: viewer.on(name))
        await write_frames(world, chat, text("c"), run=run)
        await end_run(world, chat, run)
        await nothing_more(viewer, name)
        assert shown(viewer, name) == [("user_message", 5, "not to the agent")]
        assert owner.numbers(name) == [1, 2, 3, 4, 5, 6, 7]  # whose run it is: without gaps


async def test_a_run_between_what_was_resumed_and_an_own_message_is_not_shown(
    world: World, gate: Callable[[], None]
) -> None:
    chat, name = await group(world)
    async with client_of(world, world.owner) as owner, client_of(world, world.viewer) as viewer:
        await owner.subscribe(name)
        run = await ask(world, owner, chat)
        await write_frames(world, chat, text("a"), run=run)
        await resume(viewer, chat.id)
        await viewer.until(lambda: len(hub.channels.get(address_of(name, world.workspace.id), ())) == 2)
        await viewer.settle()
        await write_frames(world, chat, text("b"), run=run)
        await end_run(world, chat, run)
        own = await ask(world, viewer, chat, "mine")
        gate()
        await write_frames(world, chat, text("c"), run=own)
        await end_run(world, chat, own)
        await viewer.until(lambda: viewer.numbers(name)[-1:] == [9])
        assert viewer.numbers(name) == [1, 2, 3, 6, 7, 8, 9]
        await owner.until(lambda: owner.numbers(name) == list(range(1, 10)))


async def test_two_own_runs_are_shown_and_the_one_between_is_not(world: World, gate: Callable[[], None]) -> None:
    chat, name = await group(world)
    async with client_of(world, world.owner) as owner, client_of(world, world.viewer) as viewer:
        await end_run(world, chat, await ask(world, viewer, chat, "first"))
        await end_run(world, chat, await ask(world, owner, chat))
        run = await ask(world, viewer, chat, "second")
        gate()
        await end_run(world, chat, run)
        await nothing_more(viewer, name)
        assert viewer.numbers(name) == [1, 2, 3, 7, 8, 9]
        assert owner.numbers(name) == [4, 5, 6]


@pytest.mark.slow
async def test_a_run_that_ends_without_a_word_shows_nothing_of_the_next(world: World) -> None:
    chat, name = await group(world)
    async with client_of(world, world.owner) as owner, client_of(world, world.viewer) as viewer:
        run = await ask(world, viewer, chat)
        await viewer.until(lambda: len(viewer.on(name)) == 2)
        await world.database.execute("UPDATE runs SET status = 'FAILED', finished_at = now() WHERE id = $1", run["id"])
        run = await ask(world, owner, chat)
        await write_frames(world, chat, text("a"), run=run)
        await owner.until(lambda: owner.numbers(name) == [3, 4, 5])
        await viewer.settle()
        assert viewer.numbers(name) == [1, 2]
        await end_run(world, chat, run)
        await nothing_more(owner, name)


@pytest.mark.slow
async def test_who_was_told_that_frames_are_lost_is_shown_none_until_it_asks(world: World) -> None:
    chat, name = await group(world)
    async with client_of(world, world.viewer) as viewer:
        run = await ask(world, viewer, chat)
        await viewer.until(lambda: len(viewer.on(name)) == 2)
        hub._new_epoch()  # the database has been restored from a copy: its numbers are others
        await nothing_more(viewer, name)
        await write_frames(world, chat, text("a"), run=run)
        await viewer.settle()
        assert [frame["type"] for frame in viewer.on(name)] == ["run_begin", "chat_event", "resume_reset"]
        await resume(viewer, chat.id, 2)
        await viewer.until(lambda: viewer.numbers(name) == [1, 2, 3])


async def test_of_what_has_no_number_only_the_own_run_s_recovery_is_shown(world: World) -> None:
    chat, name = await group(world)
    async with client_of(world, world.viewer) as viewer, client_of(world, world.owner) as subscriber:
        await subscriber.subscribe(name)
        await subscriber.settle()
        run = await ask(world, viewer, chat)
        await viewer.until(lambda: len(viewer.on(name)) == 2)
        await announce(world, name, "steering_queued", {"chat_id": chat.id, "in_flight": True, "content": "faster"})
        for run_id in ("another", run["id"]):
            recovered = {"type": "error", "content": run_id, "metadata": {"reason": "server_restart", "run_id": run_id}}
            await announce(world, name, "chat_event", recovered)
        await viewer.until(lambda: len(viewer.on(name)) == 3)
        bus.ring(Topic.events)
        await subscriber.until(lambda: len(subscriber.on(name)) == 5)
        await end_run(world, chat, run)
        await viewer.until(lambda: len(viewer.on(name)) == 4)
        assert shown(viewer, name)[2:] == [("error", None, run["id"]), ("done", 3, "")]
