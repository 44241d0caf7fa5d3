"""Nobody keeps the server waiting for long, or holds more connections than fit; who is only slow is left alone."""

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crewship.perimeter import connections as table
from crewship.perimeter.connections import connections, raise_descriptor_limit
from tests.attacks.wires import GET, Pair, application, connect, healthy, rest_of, served, until
from tests.process.commands import environment, status_of

pytestmark = pytest.mark.anyio
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
UNFINISHED = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "half a head": GET[:-2],
    "half a body": POST % 10 + b"abc",
    "no body": POST % 10,
}


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules, faster: what takes fifteen seconds takes half of one."""
    monkeypatch.setattr(table, "EVERY", 0.05)
    for name in ("HEAD_PATIENCE", "BODY_PATIENCE", "LINGERING", "TAKING_PATIENCE"):
        monkeypatch.setattr(table, name, 0.5)


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    yield
    connections.limit(1000)


async def many(port: int, number: int, said: bytes) -> list[Pair]:
    opened = []
    for _ in range(number):
        reader, writer = await connect(port)
        writer.write(said)
        opened.append((reader, writer))
    return opened


def leave(opened: list[Pair]) -> None:
    for _, writer in opened:
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof():
            if not await reader.read(65536):
                break
    return True


@pytest.mark.slow
@pytest.mark.parametrize("said", UNFINISHED.values(), ids=UNFINISHED)
async def test_what_is_not_finished_is_cut_off(said: bytes, hurry: None) -> None:
    async with served() as port:
        opened = await many(port, 20, said)
        await until(lambda: len(connections) == 20)
        async with asyncio.timeout(20):
            for reader, _ in opened:
                assert await ended(reader)
        await until(lambda: len(connections) == 0)
        leave(opened)
        assert await healthy(port)


@pytest.mark.slow
async def test_a_head_byte_by_byte_has_no_more_time(hurry: None) -> None:
    async with served() as port:
        reader, writer = await connect(port)
        sent = 0
        with contextlib.suppress(ConnectionError):
            for sent in range(400):
                writer.write(b"GET / HTTP/1.1\r\nx: " + b"a" if sent == 0 else b"a")
                await writer.drain()
                await asyncio.sleep(0.02)
                if reader.at_eof():
                    break
        assert sent < 300
        await ended(reader)
        writer.close()


@pytest.mark.slow
async def test_the_second_head_has_a_deadline_too(hurry: None) -> None:
    async with served() as port:
        reader, writer = await connect(port)
        writer.write(GET)
        await reader.readuntil(b"0 1")
        writer.write(GET[:-2])
        assert await rest_of(reader) == b""
        writer.close()


@pytest.mark.slow
async def test_a_body_has_a_lowest_rate(hurry: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two uploads of the same time one is slow and one too slow."""
    monkeypatch.setattr(table, "BODY_RATE", 200.0)  # bytes a second

    async def upload(port: int, each: int) -> bytes:
        reader, writer = await connect(port)
        writer.write(POST % (each * 40))
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                writer.write(b"x" * each)
                await writer.drain()
                await asyncio.sleep(0.05)
        got = await rest_of(reader)
        writer.close()
        return got

    async with served() as port:
        slow, too_slow = await asyncio.gather(upload(port, 400), upload(port, 1))
    assert slow.startswith(b"HTTP/1.1 200")
    assert too_slow == b""


@pytest.mark.slow
async def test_the_body_of_an_answered_request_cannot_go_on_for_ever(hurry: None) -> None:
    @application
    async def refusing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async with served(refusing) as port:
        reader, writer = await connect(port)
        writer.write(POST % 10**9)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413")
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                while not reader.at_eof():
                    writer.write(b"x" * 1000)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        assert await ended(reader)
        writer.close()


@pytest.mark.slow
async def test_who_takes_no_answer_is_cut_off(hurry: None) -> None:
    @application
    async def generous(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000000")]})
        await send({"type": "http.response.body", "body": b"x" * 50_000_000})

    async with served(generous) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(GET)
        await until(lambda: len(connections) == 1)
        await until(lambda: len(connections) == 0)
        del reader
        writer.close()


@pytest.mark.slow
async def test_answers_and_streams_that_take_their_time_are_left_alone(hurry: None) -> None:
    """Three times as long as anything else may take: before an answer begins, and between its parts."""

    @application
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(1.5)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(2):
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            await asyncio.sleep(1.5)
        await send({"type": "http.response.body", "body": b"end"})

    async with served(slow) as port:
        reader, writer = await connect(port)
        writer.write(GET)
        assert b"end" in await reader.readuntil(b"0\r\n\r\n")
        writer.close()


@pytest.mark.slow
async def test_an_application_that_does_not_read_is_not_the_fault_of_its_client(hurry: None) -> None:
    @application
    async def lazy(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(2)
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        answer = b"%d" % size
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
        )
        await send({"type": "http.response.body", "body": answer})

    async with served(lazy) as port:
        reader, writer = await connect(port)
        writer.write(POST % 900_000 + b"x" * 900_000)
        assert (await reader.readuntil(b"900000")).startswith(b"HTTP/1.1 200")
        writer.close()


@pytest.mark.slow
async def test_idle_connections_stay_for_as_long_as_they_did(hurry: None) -> None:
    async with served() as port:  # with uvicorn's own five seconds
        reader, writer = await connect(port)
        for pause in (1.0, 1.0, 0.0):
            writer.write(GET)
            await reader.readuntil(b"0 1")
            await asyncio.sleep(pause)
        assert await rest_of(reader) == b""
        writer.close()


# ---- how many ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_three_thousand_halves_leave_room_for_others() -> None:
    """The table is full of half requests and takes newcomers all the same; it never grows beyond its bound."""
    connections.limit(10**6, most=500, exempt=lambda address: True)
    async with served() as port:
        opened = []
        for _ in range(30):
            opened += await many(port, 100, UNFINISHED["half a head"])
            await until(lambda: len(connections) <= 500)
            assert await healthy(port)
        leave(opened)


async def test_answers_under_way_are_not_sent_away_for_newcomers() -> None:
    go_on = asyncio.Event()

    @application
    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    connections.limit(10**6, most=20)
    async with served(waiting) as port:
        at_work = await many(port, 10, GET)
        await until(lambda: len(connections) == 10)
        idle = await many(port, 50, UNFINISHED["half a body"])
        await until(lambda: len(connections) <= 20)
        go_on.set()
        for reader, _ in at_work:
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        leave(at_work + idle)


async def test_a_table_of_answers_under_way_is_full() -> None:
    go_on = asyncio.Event()

    @application
    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        await go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    connections.limit(10**6, most=10, exempt=lambda address: True)
    async with served(waiting) as port:
        at_work = await many(port, 10, GET)
        await until(lambda: len(connections) == 10)
        await asyncio.sleep(0.1)  # the requests have come, too
        reader, writer = await connect(port)
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 503")
        writer.close()
        go_on.set()
        for reader, _ in at_work:
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        leave(at_work)


async def test_one_address_has_its_share_and_gets_it_back() -> None:
    connections.limit(10, most=1000)
    async with served() as port:
        opened = await many(port, 10, b"")
        await until(lambda: len(connections) == 10)
        reader, writer = await connect(port)
        assert (await rest_of(reader)).startswith(b"HTTP/1.1 503")
        writer.close()
        leave(opened)
        await until(lambda: len(connections) == 0)
        assert await healthy(port)


async def test_a_trusted_proxy_holds_the_connections_of_many() -> None:
    connections.limit(10, most=1000, exempt=lambda address: address == "127.0.0.1")
    async with served() as port:
        opened = await many(port, 50, b"")
        await until(lambda: len(connections) == 50)
        assert await healthy(port)
        leave(opened)


def test_the_descriptor_limit_is_raised_and_the_room_follows() -> None:
    code = (
        "import resource; from crewship.perimeter.connections import raise_descriptor_limit,"
        " room;_, hard = resource.getrlimit(resource.RLIMIT_NOFILE);"
        " resource.setrlimit(resource.RLIMIT_NOFILE, (256, min(hard, 4000)));before = room();"
        " raise_descriptor_limit(); print(before, room(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    most = min(hard, 4000)
    assert [int(word) for word in said] == [192, most * 3 // 4, most]


@pytest.mark.slow
def test_a_service_of_1024_descriptors_answers_beside_three_thousand_halves(tmp_path: Path) -> None:
    """With the real patience. The memory the process needs for them is bounded, and the log says nothing of each."""
    raise_descriptor_limit()  # of the attacker
    command = ["sh", "-c", 'ulimit -n 1024 && exec "$0" -m crewship serve', sys.executable]
    with subprocess.Popen(
        command, env=environment(tmp_path), cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rsplit(":", 1)[1])
            before, opened = _memory(process.pid), []
            for _ in range(30):
                for _ in range(100):
                    opened.append(socket.create_connection(("127.0.0.1", port)))
                    opened[-1].sendall(GET[:-2])
                assert status_of(port, "/healthz") == 200
            assert _memory(process.pid) - before < 40 * 1024 * 1024
            ends = time.monotonic() + 60
            for connection in opened:
                connection.settimeout(max(0.1, ends - time.monotonic()))
                with contextlib.suppress(ConnectionError):
                    assert connection.recv(1000) == b""
                connection.close()
            assert status_of(port, "/healthz") == 200
        finally:
            process.terminate()
            _, said = process.communicate(timeout=60)
    assert len(said.splitlines()) < 20


def _memory(pid: int) -> int:
    """Bytes resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
