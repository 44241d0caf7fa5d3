"""What one client, or many of them, can take from the proxy: bytes of heads, connections, time."""

import asyncio
import os
import time

import pytest

from models.staff.crews import NetworkMode
from runtime.egress import Bounds, Endpoint, Policy, proxy
from tests.kernel.servers import answering
from tests.runtime.egress.outside import ANOTHER, LISTED, OTHER, POLICY, PUBLIC, Outside, listening

pytestmark = pytest.mark.anyio
ASK = f"GET http://{LISTED}/ HTTP/1.1\r\nHost: {LISTED}\r\n\r\n".encode()
LAST = f"GET http://{LISTED}/ HTTP/1.1\r\nHost: {LISTED}\r\nConnection: close\r\n\r\n".encode()
REFUSED = f"CONNECT {OTHER}:443 HTTP/1.1\r\nHost: {OTHER}:443\r\n\r\n".encode()
ENDPOINT = Endpoint("models.example.com", 9000)


async def said(address: tuple[str, int], *messages: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    try:
        for message in messages:
            writer.write(message)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


@pytest.mark.parametrize("connections", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_thousands_of_connections(connections: int, outside: Outside) -> None:
    """At once as many as the bounds say, whatever is asked; the others wait their turn, and each has its answer."""
    waiting, most = asyncio.Semaphore(500), 0
    gateway = outside.gateway(bounds=Bounds(connections=32))
    async with listening(gateway) as address:

        async def ask() -> bytes:
            nonlocal most
            async with waiting:
                answer = await said(address, REFUSED)
                most = max(most, len(gateway._open))
                return answer[:12]

        answers = await asyncio.gather(*(ask() for _ in range(connections)))
    assert set(answers) == {b"HTTP/1.1 403"}
    assert 0 < most <= 32
    assert len(outside.seen) == 1, "told once"
    assert outside.looked_up == []


@pytest.mark.slow
async def test_who_says_nothing_or_too_slowly_is_cut_off(outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "HEAD_SECONDS", 0.3)
    async with listening(outside.gateway()) as address:
        began = time.monotonic()
        assert await said(address) == b""

        reader, writer = await asyncio.open_connection(*address)
        with pytest.raises(ConnectionError):
            await _dribble(writer, ASK)
        writer.close()

        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"CONNECT {LISTED}:443 HTTP/1.1\r\nHost: {LISTED}:443\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x16\x03\x01\x02\x00\x01")  # TLS begins so
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert time.monotonic() - began < 10
    assert outside.tls.requests == []


async def _dribble(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Each byte is some progress, and all of them too slow."""
    for byte in message:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_heads_have_bounds(outside: Outside) -> None:
    async with listening(outside.gateway()) as address:
        head = ASK[:-2] + b"X: " + b"x" * 4 * proxy.HEAD + b"\r\n\r\n"
        assert (await said(address, head)).startswith(b"HTTP/1.1 431 ")
        long = b"GET http://" + b"a" * 300 + b"/ HTTP/1.1\r\nHost: a\r\n\r\n"
        assert (await said(address, long)).startswith(b"HTTP/1.1 400 ")
    assert outside.dialled == []


@pytest.mark.parametrize(
    "asked",
    [
        b"\x05\x01\x00",  # SOCKS
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET ftp://allowed.example.com/ HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n",
        b"GET https://allowed.example.com/ HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n",
        b"GET http://user@allowed.example.com/ HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n",
        b"GET http://allowed.example.com:0/ HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n",
        b"CONNECT allowed.example.com HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n",
        b"CONNECT allowed.example.com:443:443 HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n",
        b"CONNECT [allowed.example.com]:443 HTTP/1.1\r\nHost: allowed.example.com\r\n\r\n",
        b"CONNECT all\xc3\xb6wed.example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://allowed.example.com/ HTTP/1.1\r\nHost: a\r\nHost: allowed.example.com\r\n\r\n",
        b"POST http://allowed.example.com/ HTTP/1.1\r\nHost: allowed.example.com\r\nContent-Length: 1\r\n"
        b"Content-Length: 2\r\n\r\n",
        b"GET http://allowed.example.com/\r\n\r\n",
    ],
)
async def test_what_is_no_request_reaches_nothing(outside: Outside, asked: bytes) -> None:
    async with listening(outside.gateway()) as address:
        assert (await said(address, asked + b"\r\n\r\n")).split(b" ")[1] in (b"400", b"403")
    assert (outside.dialled, outside.looked_up) == ([], [])


async def test_idle_connections_end(outside: Outside) -> None:
    gateway = outside.gateway(Policy(NetworkMode.free), bounds=Bounds(idle=0.3, fresh=0.1))
    async with answering(silent) as server, listening(gateway) as address:
        outside.plain.port = server.port
        asked = f"CONNECT {LISTED}:22 HTTP/1.1\r\nHost: {LISTED}:22\r\n\r\n"
        assert await asyncio.wait_for(said(address, asked.encode()), 5)
    assert gateway._open == set()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_change_ends_what_it_no_longer_allows(outside: Outside) -> None:
    now = [Policy(NetworkMode.free)]

    async def refresh() -> Policy:
        return now[0]

    gateway = outside.gateway(now[0], refresh=refresh, bounds=Bounds(fresh=0.05))
    async with listening(gateway) as address:
        pairs = {}
        for host in (LISTED, OTHER):
            pairs[host] = reader, writer = await asyncio.open_connection(*address)
            writer.write(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert await reader.readuntil(b"\r\n\r\n")
        now[0] = POLICY
        other, _ = pairs[OTHER]
        await asyncio.wait_for(other.read(), 5)
        assert other.at_eof()
        reader, writer = pairs[LISTED]
        writer.write(LAST)
        assert b"200" in await asyncio.wait_for(reader.read(), 5)
        for _, writer in pairs.values():
            writer.close()
        assert (await said(address, REFUSED)).startswith(b"HTTP/1.1 403")


async def test_the_last_policy_holds_where_no_new_one_is_read(outside: Outside) -> None:
    async def refresh() -> Policy:
        raise OSError("the database is away")

    gateway = outside.gateway(refresh=refresh)
    await gateway.renew()
    async with listening(gateway) as address:
        assert b" 200 " in await said(address, LAST)
        assert b" 403 " in await said(address, REFUSED)


async def test_a_name_is_looked_up_once_and_what_was_judged_is_called(outside: Outside) -> None:
    answers = [[PUBLIC], ["127.0.0.1"], [ANOTHER]]

    async def look_up(host: str, port: int) -> list[str]:
        outside.looked_up.append(host)
        return answers.pop(0)

    outside.look_up = look_up  # type: ignore[method-assign]
    async with listening(outside.gateway()) as address:
        assert b" 200 " in await said(address, LAST)
        assert b" 403 " in await said(address, LAST)
        assert b" 200 " in await said(address, LAST)
    assert [called for called, _ in outside.dialled] == [PUBLIC, ANOTHER]
    assert len(outside.looked_up) == 3


async def test_names_that_never_answer_leave_threads_to_others(outside: Outside) -> None:
    asked, most = 0, 0

    async def look_up(host: str, port: int) -> list[str]:
        nonlocal asked, most
        asked, most = asked + 1, max(most, asked + 1)
        try:
            await asyncio.sleep(60)
        finally:
            asked -= 1
        return []

    outside.look_up = look_up  # type: ignore[method-assign]
    gateway = outside.gateway(Policy(NetworkMode.free), bounds=Bounds(names=4, connect=0.3))
    async with listening(gateway) as address:
        answers = await asyncio.gather(*(said(address, LAST) for _ in range(20)))
    assert all(b" 502 " in answer for answer in answers)
    assert most == 4


async def test_sockets_and_connections_end_with_the_block(outside: Outside) -> None:
    before = _descriptors()
    gateway = outside.gateway(Policy(NetworkMode.free))
    async with answering(silent) as server:
        outside.plain.port, outside.names[ENDPOINT.host] = server.port, [PUBLIC]
        async with listening(gateway) as address:
            opened = [await asyncio.open_connection(*address) for _ in range(20)]
            for reader, writer in opened:
                writer.write(f"CONNECT {ENDPOINT} HTTP/1.1\r\nHost: {ENDPOINT}\r\n\r\n".encode())
                assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        for reader, writer in opened:
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()
    await asyncio.sleep(0)
    assert outside.dialled == [(PUBLIC, 9000)] * 20
    assert _descriptors() <= before + 2


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
