"""What hostile, broken and slow clients of /ws can do: nothing to others, and nothing to the server."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from crewship.perimeter import websocket
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import attendance, hub
from rest_compat.ws import heartbeat
from tests.every import each_of
from tests.live.conversations import new_chat, text, write_frames
from tests.live.outlets import OF
from tests.live.raw import BINARY, CLOSE, PING, SMALL, TEXT, frame, raw
from tests.live.sockets import address, client_of, ticket
from tests.world import World

pytestmark = pytest.mark.anyio
DEEP = 200_000


def own(world: World) -> str:
    return f"workspace:{world.workspace.id}"


async def emit(world: World, *numbers: int, size: int = 0) -> None:
    sql = f"""
        INSERT INTO events (workspace_id, channel, type, payload)
        SELECT {OF}, $1, 'test.happened', jsonb_build_object('n', n, 'text', repeat('a', $3)) FROM unnest($2::int[]) n
    """
    await world.database.execute(sql, own(world), list(numbers), size)
    bus.ring(Topic.events)


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a number": b"1",
    "a large number": b"1" * 5000,
    "null": b"null",
    "a string": b'"ping"',
    "a list": b'[{"type":"ping"}]',
    "an empty object": b"{}",
    "type is a number": b'{"type":1}',
    "type is null": b'{"type":null}',
    "type is empty": b'{"type":""}',
    "type is unknown": b'{"type":"launch","channel":"providers"}',
    "type of the server": b'{"type":"session_revoked"}',
    "another case": b'{"type":"PING"}',
    "NaN": b'{"type":NaN}',
    "deep list": b"[" * 30_000,
    "deep, closed": b'{"type":"ping","payload":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "NUL in the type": b'{"type":"pi\\u0000ng"}',
    "NUL byte": b'{"type":"ping\0"}',
    "lone surrogate": b'{"type":"subscribe","channel":"\\ud800"}',
    "channel is a list": b'{"type":"subscribe","channel":["providers"]}',
    "channel is a number": b'{"type":"subscribe","channel":7}',
    "after is a number": b'{"type":"subscribe","channel":"providers","after":7}',
    "token is an object": b'{"type":"auth","token":{}}',
    "payload is missing": b'{"type":"send_message"}',
    "payload is deep": b'{"type":"send_message","payload":{"session_id":"x","content":'
    + b"[" * 900
    + b"]" * 900
    + b"}}",
    "payload is a deep string": b'{"type":"resume","payload":"' + b"[" * 30_000 + b'"}',
    "payload is a string in a string": b'{"type":"resume","payload":"\\"{}\\""}',
    "session_id is an object": b'{"type":"cancel_message","payload":{"session_id":{}}}',
}


@pytest.mark.slow
@each_of("name", HOSTILE)
async def test_nonsense_is_answered_and_the_socket_lives_on(world: World, name: str) -> None:
    before = await world.snapshot()
    async with client_of(world, world.viewer) as client:
        await client.connection.send(HOSTILE[name].decode())
        error = await client.hears("error")
        assert error["payload"]["error"] == error["payload"]["message"] != ""
        if name != "payload is deep":
            assert "channel" not in error
        await client.settle()
        await client.subscribe(own(world))
        await client.settle()
        assert len(client.of("error")) == 1
    assert await world.snapshot() == before


async def test_binary_frames_are_not_understood(world: World) -> None:
    async with raw(address(world, await ticket(world, world.viewer))) as client:
        await client.send(frame(b'{"type":"ping"}', BINARY))
        assert (await client.hear())["type"] == "error"
        await client.say(type="ping")
        assert (await client.hear())["type"] == "pong"


async def test_a_message_may_come_in_pieces(world: World) -> None:
    async with raw(address(world, await ticket(world, world.viewer))) as client:
        pieces = [
            frame(b'{"type"', TEXT, fin=False),
            frame(b':"pi', 0, fin=False),
            frame(b"x", PING),
            frame(b'ng"}', 0),
        ]
        for piece in pieces:
            await client.send(piece)
            await asyncio.sleep(0.01)
        assert (await client.hear())["type"] == "pong"
        whole = b"".join(frame(b'{"type":"ping"}') for _ in range(500))
        for start in range(0, len(whole), 7):  # frames cut anywhere, and many in one segment
            client.writer.write(whole[start : start + 7])
        for _ in range(500):
            assert (await client.hear())["type"] == "pong"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ([frame(b'{"type":"ping","payload":"' + b"a" * 64 * 1024 + b'"}')], 1009),
        ([frame(b'{"type":"ping","payload":"' + "ü".encode() * 32 * 1024 + b'"}')], 1009),
        ([frame(b'{"type":"ping",', fin=False), *[frame(b" " * 1000, 0, fin=False)] * 66, frame(b"}", 0)], 1009),
        ([frame(b" " * 100, declared=2 * 1024 * 1024)], 1009),
        ([frame(b" " * 100, declared=2**62)], 1009),
        ([frame(b'{"type":"\xff\xfe"}')], 1007),
        ([frame(b'{"type":"\xed\xa0\x80"}')], 1007),
        ([frame(b'{"type":"ping"}', masked=False)], 1002),
        ([frame(b'{"type":"ping"}', reserved=0x40)], 1002),
        ([frame(b"x", 0x3)], 1002),
        ([frame(b"x", 0)], 1002),
        ([frame(b"a", fin=False), frame(b"b")], 1002),
        ([frame(b"a" * 126, PING)], 1002),
        ([frame((4000).to_bytes(2, "big") + b"bye", CLOSE)], 4000),
        ([frame(b"", CLOSE)], None),
    ],
)
async def test_frames_that_are_too_large_or_against_the_protocol_end_the_socket(
    world: World, caplog: pytest.LogCaptureFixture, sent: list[bytes], code: int | None
) -> None:
    before = len(attendance.connections)
    async with (
        client_of(world, world.viewer) as other,
        raw(address(world, await ticket(world, world.viewer))) as client,
    ):
        await client.send(*sent)
        assert await client.close_code() == code
        assert "Traceback" not in caplog.text
        await other.settle()
        async with asyncio.timeout(30):
            while len(attendance.connections) > before + 1:
                await asyncio.sleep(0.01)


async def test_a_message_of_just_the_largest_size_is_read(world: World) -> None:
    body = b'{"type":"ping","payload":"%b"}'
    async with raw(address(world, await ticket(world, world.viewer))) as client:
        await client.send(frame(body % (b"a" * (64 * 1024 - len(body) + 2))))
        assert (await client.hear())["type"] == "pong"
        await client.send(frame(body % ("ü" * (32 * 1024 - len(body) // 2)).encode()))
        assert (await client.hear())["type"] == "pong"


async def test_a_vanished_client_leaves_nothing(world: World) -> None:
    before = len(attendance.connections)
    async with raw(address(world, await ticket(world, world.viewer))) as client:
        await client.say(type="subscribe", channel=own(world))
        await client.say(type="ping")
        assert (await client.hear())["type"] == "pong"
        client.writer.transport.abort()
    async with asyncio.timeout(30):
        while len(attendance.connections) > before or len(heartbeat.open_sockets) or own(world) in hub.channels:
            await asyncio.sleep(0.01)
    await emit(world, 1)


async def test_a_slow_reader_holds_nobody_up_and_gets_everything_later(world: World) -> None:
    """6 MB for somebody who takes in nothing for a while: the server keeps a bounded part of it."""
    count, size = 1000, 6000
    async with (
        raw(address(world, await ticket(world, world.viewer)), buffer=SMALL) as slow,
        client_of(world, world.owner) as quick,
    ):
        await slow.say(type="subscribe", channel=own(world))
        await quick.subscribe(own(world))
        await quick.settle()
        await asyncio.sleep(0.1)
        delays = []
        for start in range(0, count, 100):
            began = time.monotonic()
            await emit(world, *range(start, start + 100), size=size)
            await quick.until(lambda start=start: len(quick.of("test.happened")) == start + 100)
            delays.append(time.monotonic() - began)
        assert max(delays) < websocket.PATIENCE / 2
        (connection,) = [c for c in attendance.connections if c.caller.user_id == world.viewer.user_id]
        (subscription,) = connection.subscriptions
        outlet: Any = subscription.outlet
        assert outlet.congested
        assert outlet._protocol.transport.get_write_buffer_size() < 512 * 1024
        assert subscription._behind is not None
        for number in range(count):
            frame = await slow.hear()
            assert frame["payload"]["n"] == number
        await emit(world, count)
        assert (await slow.hear())["payload"]["n"] == count


async def test_who_reads_nothing_is_cut_off_after_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert websocket.PATIENCE == 10.0
    monkeypatch.setattr(websocket, "PATIENCE", 0.2)
    async with (
        raw(address(world, await ticket(world, world.viewer)), buffer=SMALL) as stalled,
        client_of(world, world.owner) as quick,
    ):
        await stalled.say(type="subscribe", channel=own(world))
        await quick.subscribe(own(world))
        await quick.settle()
        await asyncio.sleep(0.1)
        await emit(world, *range(1000), size=6000)
        await quick.until(lambda: len(quick.of("test.happened")) == 1000)
        async with asyncio.timeout(30):
            while any(c.caller.user_id == world.viewer.user_id for c in attendance.connections):
                await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_whoever_asks_and_does_not_listen_is_not_answered_without_end(world: World) -> None:
    """Errors and pongs of a client that reads nothing: its next messages wait."""
    async with raw(address(world, await ticket(world, world.viewer)), buffer=SMALL) as client:
        sent = frame(orjson.dumps({"type": "subscribe", "channel": "kitchen:" + "x" * 250})) * 200

        async def pour() -> None:
            for _ in range(400):  # 20 MB of questions, as much of answers
                await client.send(sent)

        pouring = asyncio.create_task(pour())
        await asyncio.sleep(1.5)
        (connection,) = [c for c in attendance.connections if c.caller.user_id == world.viewer.user_id]
        outlet: Any = connection._outlet
        assert outlet._protocol.transport.get_write_buffer_size() < 1024 * 1024
        assert not pouring.done()
        for _ in range(400):
            assert (await client.hear())["type"] == "error"
        pouring.cancel()


@pytest.mark.slow
async def test_pings_of_the_protocol_are_not_answered_without_end_either(world: World) -> None:
    async with raw(address(world, await ticket(world, world.viewer)), buffer=SMALL) as client:
        pings = frame(b"p" * 125, PING) * 1000

        async def pour() -> None:
            for _ in range(100):  # 13 MB
                await client.send(pings)

        pouring = asyncio.create_task(pour())
        await asyncio.sleep(1.5)
        (connection,) = [c for c in attendance.connections if c.caller.user_id == world.viewer.user_id]
        outlet: Any = connection._outlet
        assert outlet._protocol.transport.get_write_buffer_size() < 1024 * 1024
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


@pytest.mark.slow
async def test_a_congested_socket_is_not_sent_heartbeats(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", 0.02)
    async with raw(address(world, await ticket(world, world.viewer)), buffer=SMALL) as slow:
        await slow.say(type="subscribe", channel=own(world))
        await asyncio.sleep(0.1)
        await emit(world, *range(1000), size=6000)
        (connection,) = [c for c in attendance.connections if c.caller.user_id == world.viewer.user_id]
        outlet: Any = connection._outlet
        async with asyncio.timeout(30):
            while not outlet.congested:
                await asyncio.sleep(0.01)
        size = outlet._protocol.transport.get_write_buffer_size()
        await asyncio.sleep(0.2)
        assert outlet._protocol.transport.get_write_buffer_size() == size
        beats = 0
        while (heard := await slow.hear()).get("payload") is None or heard["payload"]["n"] < 999:
            beats += heard["type"] == "ping"
        assert beats > 0


async def test_frames_of_a_chat_reach_a_slow_reader_too(world: World) -> None:
    chat = await new_chat(world)
    async with raw(address(world, await ticket(world, world.viewer)), buffer=SMALL) as slow:
        await slow.say(type="subscribe", channel=f"session:{chat.id}")
        await slow.say(type="ping")
        assert (await slow.hear())["type"] == "pong"
        for _ in range(10):
            await write_frames(world, chat, *(text("a" * 3000) for _ in range(50)))
        for number in range(1, 501):
            assert (await slow.hear())["seq"] == number
