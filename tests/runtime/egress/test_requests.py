"""Requests of plain HTTP through the proxy: what arrives, and what comes back."""

import asyncio

import pytest

from models.staff.crews import NetworkMode
from runtime.egress import Policy
from tests.kernel.servers import answering, response
from tests.runtime.egress.outside import LISTED, Outside, listening
from tests.runtime.egress.test_bounds import LAST, said

pytestmark = pytest.mark.anyio
HEAD = f"http://{LISTED}/path?q=1 HTTP/1.1\r\nHost: {LISTED}\r\n"


async def test_a_request_is_passed_on_without_what_was_for_the_proxy(outside: Outside) -> None:
    asked = (
        f"POST {HEAD}Content-Length: 4\r\nProxy-Authorization: Basic eDp5\r\nX-Kept: yes\r\nX-Named: no\r\n"
        "Upgrade: websocket\r\nConnection: X-Named, Upgrade, close\r\n\r\nbody"
    )
    async with listening(outside.gateway()) as address:
        answer = await said(address, asked.encode())
    head, _, echoed = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert echoed.startswith(b"POST /path?q=1 HTTP/1.1\r\n")
    assert echoed.endswith(b"\r\n\r\nbody")
    lines = echoed.lower().split(b"\r\n")
    assert f"host: {LISTED}".encode() in lines
    assert b"x-kept: yes" in lines
    assert not any(line.startswith((b"proxy-", b"x-named", b"upgrade")) for line in lines)


async def test_requests_follow_each_other_and_each_is_judged(outside: Outside) -> None:
    kept = f"GET {HEAD}\r\n".encode()
    other = b"GET http://other.example.net/ HTTP/1.1\r\nHost: other.example.net\r\n\r\n"
    async with listening(outside.gateway()) as address:
        answer = await said(address, kept + kept + other + kept)
    assert [answer.count(status) for status in (b"HTTP/1.1 200", b"HTTP/1.1 403")] == [2, 1]
    assert outside.plain.connections == 2


async def test_bodies_in_pieces_of_any_size(outside: Outside) -> None:
    size = 3 << 20

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, got = await reader.readuntil(b"\r\n\r\n"), 0
        assert b"transfer-encoding: chunked" in head.lower()
        while length := int(await reader.readline(), 16):
            got += len(await reader.readexactly(length))
            await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"%x\r\n%d\r\n0\r\n\r\n" % (len(str(got)), got))
        await writer.drain()

    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    asked = f"PUT {HEAD}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
    async with answering(count) as server, listening(outside.gateway()) as address:
        outside.plain.port = server.port
        answer = await said(address, asked, *[piece] * (size // 65536), b"0\r\n\r\n")
    assert str(size).encode() in answer


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
    ],
)
async def test_answers_without_a_body(outside: Outside, method: str, answer: bytes) -> None:
    asked = f"{method} {HEAD}\r\n".encode()
    async with answering(answer) as server, listening(outside.gateway()) as address:
        outside.plain.port = server.port
        said_twice = await said(address, asked, asked, LAST.replace(b"GET", method.encode()))
    status = answer.rsplit(b"HTTP/1.1 ")[-1][:3]
    assert said_twice.count(b"HTTP/1.1 " + status) == 3


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 O", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"])
async def test_a_server_that_does_not_speak_http(outside: Outside, answer: bytes) -> None:
    async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with answering(breaks_off) as server, listening(outside.gateway()) as address:
        outside.plain.port = server.port
        assert (await said(address, LAST)).startswith(b"HTTP/1.1 502 ")


async def test_a_server_that_is_not_there(outside: Outside) -> None:
    async with listening(outside.gateway(Policy(NetworkMode.free))) as address:
        unknown = LAST.replace(LISTED.encode(), b"unknown.example.com")
        assert b"unknown host" in await said(address, unknown)
        async with answering(response(b"")) as server:
            outside.plain.port = server.port
        assert b"the host cannot be reached" in await said(address, LAST)


async def test_a_program_may_use_a_tunnel_for_plain_http(outside: Outside) -> None:
    """As some clients always do. What goes through it is judged as any request."""
    opening = f"CONNECT {LISTED}:80 HTTP/1.1\r\nHost: {LISTED}:80\r\n\r\n".encode()
    inner = f"GET /inside HTTP/1.1\r\nHost: {LISTED}\r\n\r\n".encode()
    async with listening(outside.gateway()) as address:
        answer = await said(address, opening + inner + inner.replace(LISTED.encode(), b"other.example.net"))
        assert b"GET /inside HTTP/1.1" in answer
        assert answer.count(b"HTTP/1.1 403") == 1
        nested = await said(address, opening, opening)
        assert nested.count(b"HTTP/1.1 400") == 1
    assert outside.plain.connections == 1
