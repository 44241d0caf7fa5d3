"""The run of a chat as lines of JSON over HTTP: what is sent, in which order, and when it ends."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from models.staff.chats import Chat
from models.staff.runs import RunFrame
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import connection, hub, reading
from resolvers.staff.chats import resuming, streaming
from tests.live.conversations import end_run, new_chat, new_run, text, write_frames
from tests.world import Person, World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
PATIENCE = 20.0


class Reader:
    """One stream over a socket of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status, self.head = 0, b""
        self._rest = b""

    async def begin(self) -> None:
        self.head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        self.status = int(self.head.split()[1])

    async def line(self) -> dict[str, Any] | None:
        """None at the end, whole or cut."""
        while b"\n" not in self._rest:
            try:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                chunk = await self.reader.readexactly(size + 2)
            except (asyncio.IncompleteReadError, ConnectionError, ValueError):
                return None
            if size == 0:
                return None
            self._rest += chunk[:-2]
        line, _, self._rest = self._rest.partition(b"\n")
        shown: dict[str, Any] = orjson.loads(line)
        return shown

    async def next(self) -> dict[str, Any]:
        found = await asyncio.wait_for(self.line(), PATIENCE)
        assert found is not None
        return found

    async def all(self) -> list[dict[str, Any]]:
        """Up to the end."""
        found = list[dict[str, Any]]()
        async with asyncio.timeout(PATIENCE):
            while (line := await self.line()) is not None:
                found.append(line)
        return found

    def cut(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def stream(
    world: World, chat_id: str, query: str = "", *, person: Person | None = None, headers: str = ""
) -> AsyncIterator[Reader]:
    host, _, port = world.url.removeprefix("http://").strip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    writer.write(
        f"GET /api/v1/chats/{chat_id}/stream{query} HTTP/1.1\r\nhost: crew\r\n{headers}"
        f"authorization: Bearer {(person or world.viewer).token}\r\n\r\n".encode()
    )
    made = Reader(reader, writer)
    try:
        await made.begin()
        yield made
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def status_of(world: World, chat_id: str, query: str = "", person: Person | None = None) -> int:
    async with stream(world, chat_id, query, person=person) as reader:
        return reader.status


async def begun(world: World, chat: Chat) -> dict[str, Any]:
    """A run with its first frame."""
    run = await new_run(world, chat)
    last = await world.database.fetchval("SELECT last_seq FROM chats WHERE id = $1", chat.id)
    await world.database.execute("UPDATE chats SET last_seq = last_seq + 1 WHERE id = $1", chat.id)
    where = {"workspace_id": chat.workspace_id, "chat_id": chat.id, "seq": last + 1, "run_id": run["id"]}
    await world.add(RunFrame(type="run_begin", payload={"from_seq": last}, **where))
    bus.ring(Topic.frames, f"{chat.workspace_id}/{chat.id}")
    return run


async def test_a_run_is_sent_from_its_beginning_to_its_end(world: World) -> None:
    chat = await new_chat(world, last_seq=4)
    run = await begun(world, chat)
    await write_frames(world, chat, {"type": "system", "content": "init", "metadata": {"cwd": "/"}}, run=run)
    async with stream(world, chat.id) as reader:
        assert reader.status == 200
        for header in (b"application/x-ndjson", b"cache-control: no-cache", b"x-accel-buffering: no"):
            assert header in reader.head
        assert [await reader.next() for _ in range(3)] == [
            {"type": "stream.open", "chat_id": chat.id, "from_seq": 4, "active": True},
            {"type": "run_begin", "seq": 5, "from_seq": 4},
            {"type": "system", "seq": 6, "content": "init", "metadata": {"cwd": "/"}},
        ]
        await write_frames(world, chat, text("live"), run=run)
        assert await reader.next() == {"type": "text", "seq": 7, "content": "live"}
        await end_run(world, chat, run)
        assert await reader.all() == [
            {"type": "done", "seq": 8}, {"type": "stream.end", "reason": "run_complete", "last_seq": 8},
        ]  # fmt: skip
    assert hub.listeners() == 0


async def test_without_a_run_it_ends_at_once_and_a_finished_run_is_not_sent(world: World) -> None:
    chat = await new_chat(world)
    run = await begun(world, chat)
    await end_run(world, chat, run)
    for query, last in (("", 0), ("?last_seq=1", 1)):
        async with stream(world, chat.id, query) as reader:
            assert await reader.all() == [
                {"type": "stream.open", "chat_id": chat.id, "from_seq": last, "active": False},
                {"type": "stream.end", "reason": "no_active_run", "last_seq": last},
            ]


async def test_one_that_follows_stays_for_the_next_runs(world: World) -> None:
    chat = await new_chat(world)
    async with stream(world, chat.id, "?follow=T") as reader:
        assert (await reader.next())["active"] is False
        for number in (1, 3):
            run = await begun(world, chat)
            assert await reader.next() == {"type": "run_begin", "seq": number, "from_seq": number - 1}
            await end_run(world, chat, run)
            assert await reader.next() == {"type": "done", "seq": number + 1}


async def test_a_resume_goes_on_behind_its_mark(world: World) -> None:
    chat = await new_chat(world)
    run = await begun(world, chat)
    await write_frames(world, chat, *(text(str(n)) for n in range(2, 30)), run=run)
    for query, headers in (("?last_seq=27", "last-event-id: 3\r\n"), ("", "last-event-id: 27\r\n")):
        async with stream(world, chat.id, query, headers=headers) as reader:
            assert await reader.next() == {"type": "stream.open", "chat_id": chat.id, "from_seq": 27, "active": True}
            assert [(await reader.next())["seq"] for _ in range(2)] == [28, 29]
    async with stream(world, chat.id, "?last_seq=1000") as reader:
        await reader.next()
        await write_frames(world, chat, text("30"), run=run)
        await end_run(world, chat, run)
        assert (await reader.all())[-1]["type"] == "stream.end"


async def test_a_socket_that_is_cut_again_and_again_loses_and_doubles_nothing(world: World) -> None:
    chat = await new_chat(world)
    run = await begun(world, chat)
    written, stop = 1, asyncio.Event()

    async def write() -> None:
        nonlocal written
        while not stop.is_set() and written < 2_000:
            count = random.randrange(1, 20)
            await write_frames(world, chat, *(text(str(written + n + 1)) for n in range(count)), run=run)
            written += count
            await asyncio.sleep(random.random() / 50)

    writing = asyncio.create_task(write())
    heard = list[int]()
    for _ in range(40):
        async with stream(world, chat.id, f"?last_seq={heard[-1] if heard else 0}") as reader:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.choice([0.01, 0.05, 0.1])):
                    while (line := await reader.line()) is not None:
                        heard += [line["seq"]] if "seq" in line else []
            reader.cut()
    stop.set()
    await writing
    assert heard
    async with stream(world, chat.id, f"?last_seq={heard[-1]}") as reader:
        await reader.next()
        await end_run(world, chat, run)
        heard += [line["seq"] for line in await reader.all() if "seq" in line]
    assert heard == list(range(1, written + 2))


async def test_a_reader_that_reads_late_gets_all_of_it_and_little_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ROOM", 64 * 1024)
    sizes, chat = list[int](), await new_chat(world)
    write, run = reading.ChatLine.write, await begun(world, chat)

    def counted(line: Any, frame: bytes) -> None:
        write(line, frame)
        sizes.append(line._size)

    monkeypatch.setattr(reading.ChatLine, "write", counted)
    async with stream(world, chat.id) as reader:
        await reader.next()
        for number in range(60):
            await write_frames(world, chat, *[text("x" * 20_000)] * 5, run=run)
            if number == 30:
                await asyncio.sleep(0.5)
        await end_run(world, chat, run)
        lines = await reader.all()
    assert [line["seq"] for line in lines if "seq" in line] == list(range(1, 303))
    assert max(sizes) < 64 * 1024 + 25_000


async def test_a_run_that_is_too_long_to_be_sent_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "MOST_FRAMES", 3)
    chat = await new_chat(world)
    run = await begun(world, chat)
    await write_frames(world, chat, *(text(str(n)) for n in range(2, 9)), run=run)
    reset = {"type": "stream.reset", "reason": "replay_truncated"}
    async with stream(world, chat.id, "?last_seq=2") as reader:
        assert (await reader.all())[1:] == [
            reset, {"type": "stream.end", "reason": "replay_truncated", "last_seq": 2},
        ]  # fmt: skip
    async with stream(world, chat.id, "?last_seq=6") as reader:
        assert [(await reader.next()).get("seq") for _ in range(3)] == [None, 7, 8]
    async with stream(world, chat.id) as reader:
        assert [await reader.next() for _ in range(2)][1] == reset
        await asyncio.sleep(0.2)
        await write_frames(world, chat, text("live"), run=run)
        assert (await reader.next())["content"] == "live"


async def test_a_silent_stream_has_heartbeats_and_ends_when_it_is_idle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "HEARTBEAT", 1.5)
    chat = await new_chat(world)
    await begun(world, chat)
    async with stream(world, chat.id, "?idle=4") as reader:
        types = [line["type"] for line in await reader.all()]
    assert types == ["stream.open", "run_begin", "stream.heartbeat", "stream.heartbeat", "stream.end"]


async def test_who_may_watch_what(world: World) -> None:
    chat, foreign = await new_chat(world), await new_chat(world, workspace=world.other)
    assert await status_of(world, chat.id) == 200
    assert await status_of(world, chat.id, person=world.outsider) == 404
    assert await status_of(world, foreign.id) == 404
    assert await status_of(world, "unknown") == 404
    for query in ("?last_seq=-1", "?last_seq=x", "?follow=yes", "?idle=-1", "?idle=x", "?last_seq=99999999999"):
        assert await status_of(world, chat.id, query) == 400, query
    for query in ("?follow=0", "?follow=FALSE", "?idle=0", "?idle=999999", "?follow="):
        assert await status_of(world, chat.id, query) == 200, query
    async with world.client(None) as client:
        assert (await client.get(f"/api/v1/chats/{chat.id}/stream")).status_code == 401


async def test_a_process_without_live_connections_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    chat = await new_chat(world)
    monkeypatch.setattr(streaming._Offer, "opened", None)
    assert await status_of(world, chat.id) == 503


async def test_a_right_that_ends_ends_the_stream(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "EVERY", 0.2)
    chat, viewer = await new_chat(world), world.viewer
    run = await begun(world, chat)
    role = "UPDATE memberships SET user_id = $1 WHERE id = $2"
    async with stream(world, chat.id, "?follow=1") as reader:
        assert [(await reader.next())["type"] for _ in range(2)] == ["stream.open", "run_begin"]
        await world.database.execute(role, world.outsider.user_id, viewer.membership_id)
        try:
            await write_frames(world, chat, text("not for them"), run=run)
            assert await reader.all() == [{"type": "stream.end", "reason": "access_revoked", "last_seq": 1}]
        finally:
            await world.database.execute(role, viewer.user_id, viewer.membership_id)
