"""A line that is cut again and again: what a client has seen over all its sockets is the whole log, in order (contract:
websocket.connection.reconnect).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from resolvers.kernel.store.bus import Topic, bus
from resolvers.staff.chats.resuming import MOST_FRAMES
from tests.live.conversations import DONE, new_chat, new_run, text, write_frames
from tests.live.outlets import OF
from tests.live.raw import SMALL, Raw, raw
from tests.live.sockets import address, ticket
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CUTS = 200


@asynccontextmanager
async def writing(write: Callable[[int], Awaitable[object]]) -> AsyncIterator[list[int]]:
    """Calls `write(n)` from 1 on, in bursts, as long as a resume could bring all; yields what is written, growing."""
    written, stop = list[int](), asyncio.Event()

    async def go() -> None:
        while not stop.is_set() and len(written) < MOST_FRAMES - 100:
            for _ in range(random.randrange(1, 30)):
                await write(len(written) + 1)
                written.append(len(written) + 1)
            await asyncio.sleep(random.random() / 20)

    task = asyncio.create_task(go())
    try:
        yield written
    finally:
        stop.set()
        await task


async def read_for_a_while(client: Raw, hear: Callable[[dict[str, Any]], None]) -> None:
    """Some frames, or none, quickly or slowly; then the line is cut without a word."""
    patience = random.choice([0.001, 0.02, 0.1])
    try:
        async with asyncio.timeout(patience):
            for _ in range(random.randrange(60)):
                if (heard := await client.hear()) is None:
                    break
                hear(heard)
                if random.random() < 0.02:
                    await asyncio.sleep(random.random() / 50)
    except TimeoutError:
        pass
    client.writer.transport.abort()


async def read_over_cuts(
    url: str, ask: Callable[[Raw], Awaitable[None]], hear: Callable[[dict[str, Any]], None]
) -> None:
    """Hears what comes of `ask` on one line after another, each of them cut."""
    for _ in range(CUTS):
        async with raw(url, buffer=random.choice([SMALL, None])) as client:
            await ask(client)
            await read_for_a_while(client, hear)
        await asyncio.sleep(random.random() / 50)


async def all_is_seen_by_cursor(
    world: World, channel: str, write: Callable[[int], Awaitable[object]], number: Callable[[dict[str, Any]], int]
) -> None:
    """Whoever goes on from the newest cursor sees what is written from their first frame on: `number` tells which."""
    seen, cursor, url = list[int](), None, address(world, await ticket(world, world.viewer))

    async def ask(client: Raw) -> None:
        await client.say(type="subscribe", channel=channel, after=cursor)

    def hear(frame: dict[str, Any]) -> None:
        nonlocal cursor
        seen.append(number(frame))
        cursor = frame["cursor"]

    async with writing(write) as written:
        await read_over_cuts(url, ask, hear)
    async with raw(url) as client:
        await ask(client)
        while seen[-1] < len(written):
            hear(await client.hear())
    assert seen == list(range(seen[0], len(written) + 1))
    assert len(seen) > CUTS


async def test_cursors_of_a_workspace(world: World) -> None:
    channel = f"workspace:{world.workspace.id}"
    sql = f"""
        INSERT INTO events (workspace_id, channel, type, payload)
        VALUES ({OF}, $1, 'test.happened', jsonb_build_object('n', $2::int, 'text', repeat('a', $3)))
    """

    async def write(n: int) -> None:
        await world.database.execute(sql, channel, n, random.randrange(2000))
        bus.ring(Topic.events)

    def number(frame: dict[str, Any]) -> int:
        assert frame["type"] == "test.happened", frame
        return int(frame["payload"]["n"])

    await all_is_seen_by_cursor(world, channel, write, number)


async def test_cursors_of_a_chat(world: World) -> None:
    chat = await new_chat(world)

    def number(frame: dict[str, Any]) -> int:
        assert frame["type"] == "chat_event", frame
        assert frame["payload"]["content"] == str(frame["seq"])
        return int(frame["seq"])

    await all_is_seen_by_cursor(world, f"session:{chat.id}", lambda n: write_frames(world, chat, text(str(n))), number)


async def test_the_web_interface_resumes_a_run(world: World) -> None:
    """It subscribes, asks for what it missed, and applies numbered frames in order and once (contract: ui_depends)."""
    chat = await new_chat(world)
    run = await new_run(world, chat)
    seen, last, ahead, url = list[str](), 0, dict[int, str](), address(world, await ticket(world, world.viewer))

    async def resume(client: Raw) -> None:
        ahead.clear()
        await client.say(type="resume", payload={"session_id": chat.id, "last_seq": last})

    async def ask(client: Raw) -> None:
        await client.say(type="subscribe", channel=f"session:{chat.id}")
        await resume(client)

    def hear(frame: dict[str, Any]) -> None:
        nonlocal last
        assert frame["type"] == "chat_event", frame
        ahead[frame["seq"]] = frame["payload"]["content"]
        while last + 1 in ahead:
            last += 1
            seen.append(ahead.pop(last))

    async with writing(lambda n: write_frames(world, chat, text(str(n)), run=run)) as written:
        await read_over_cuts(url, ask, hear)
    total = await write_frames(world, chat, DONE, run=run)
    async with raw(url) as client:
        await resume(client)
        while last < total:
            hear(await client.hear())
    assert seen == [*(str(n) for n in range(1, len(written) + 1)), ""]
    assert total == len(written) + 1
