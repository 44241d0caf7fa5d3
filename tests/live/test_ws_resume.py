"""Taking up a conversation on /ws again: what is sent once more, in which order, and how much of it."""

import asyncio

import pytest

from resolvers.kernel.declarations.events import address_of
from resolvers.live import hub
from resolvers.staff.chats import resuming
from tests.live.conversations import calls, end_run, new_chat, new_run, resume, shown, text, write_frames
from tests.live.sockets import client_of
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_resume_brings_the_live_run_from_there_and_subscribes_to_nothing(world: World) -> None:
    chat = await new_chat(world, last_seq=3)
    name = f"session:{chat.id}"
    run = await new_run(world, chat)
    await write_frames(world, chat, *(text(str(n)) for n in range(4, 454)), run=run)
    async with client_of(world, world.viewer) as client:
        await resume(client, chat.id, 450)
        await client.until(lambda: len(client.on(name)) == 3)
        assert shown(client, name) == [("text", n, str(n)) for n in range(451, 454)]
        await resume(client, chat.id)
        await client.until(lambda: len(client.on(name)) == 453)
        assert client.numbers(name)[3:] == list(range(4, 454))
        before = calls("chats.resume")
        await resume(client, chat.id, 453)
        await resume(client, chat.id, 10_000)
        await client.until(lambda: calls("chats.resume") == before + 2)
        await write_frames(world, chat, text("live"), run=run)
        await client.settle()
        await asyncio.sleep(0.1)
        await client.settle()
        assert len(client.on(name)) == 453
        assert address_of(name, world.workspace.id) not in hub.channels


async def test_a_resume_of_a_subscriber_keeps_the_order_whatever_is_written_meanwhile(world: World) -> None:
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    run = await new_run(world, chat)
    await write_frames(world, chat, *(text(str(n)) for n in range(1, 1001)), run=run)
    async with client_of(world, world.viewer) as client:
        await client.subscribe(name)
        await client.settle()
        await resume(client, chat.id)
        for n in range(1001, 1101):
            await write_frames(world, chat, text(str(n)), run=run)
        await client.until(lambda: client.numbers(name)[-1:] == [1100])
        numbers = client.numbers(name)
        again = numbers.index(1)
        assert numbers[:again] == list(range(1001, 1001 + again))  # what came live before the resume was carried out
        assert numbers[again:] == list(range(1, 1101))
        await end_run(world, chat, run)
        await client.until(lambda: client.numbers(name)[-1:] == [1101])


async def test_without_a_live_run_or_a_right_there_is_nothing_to_resume(world: World) -> None:
    chat, foreign = await new_chat(world), await new_chat(world, workspace=world.other)
    run = await new_run(world, chat)
    await write_frames(world, chat, text("a"), run=run)
    await end_run(world, chat, run)
    await write_frames(world, foreign, text("a"), run=await new_run(world, foreign))
    async with client_of(world, world.viewer) as client:
        before = calls("chats.resume")
        for id in (chat.id, foreign.id, "no such chat", "\0"):
            await resume(client, id)
        await client.say("resume", payload={"session_id": chat.id})
        await client.until(lambda: calls("chats.resume") == before + 5)
        await client.settle()
        assert [frame["type"] for frame in client.heard] == ["pong"]
        for payload in (
            {"session_id": chat.id, "last_seq": "1"},
            {"session_id": chat.id, "last_seq": -1},
            {"last_seq": 1},
            "[]",
        ):
            await client.say("resume", payload=payload)
        await client.until(lambda: len(client.of("error")) == 4)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "size", "overrun"), [(20, 1, False), (21, 1, True), (2, 500, False), (2, 501, True)])
async def test_too_much_to_send_again_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int, size: int, overrun: bool
) -> None:
    assert (resuming.MOST_FRAMES, resuming.MOST_BYTES) == (5000, 8 * 1024 * 1024)
    chat = await new_chat(world)
    name = f"session:{chat.id}"
    await write_frames(world, chat, *(text("a" * size) for _ in range(count)), run=await new_run(world, chat))
    monkeypatch.setattr(resuming, "MOST_FRAMES", 20)
    length = await world.database.fetchval(
        "SELECT octet_length(payload::text) FROM run_frames WHERE chat_id = $1 LIMIT 1", chat.id
    )
    monkeypatch.setattr(resuming, "MOST_BYTES", 2 * (length - size + 500))
    async with client_of(world, world.viewer) as client:
        await resume(client, chat.id)
        await client.until(lambda: client.on(name))
        await client.until(lambda: len(client.on(name)) == (1 if overrun else count))
        if overrun:
            assert client.on(name) == [{"type": "resume_reset", "channel": name, "payload": {}}]
            await resume(client, chat.id, count - 1)
            await client.until(lambda: client.numbers(name) == [count])
