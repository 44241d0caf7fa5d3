"""The perimeter behind real servers: the service's own protocol, and others."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson
import pytest
import uvicorn

from crewship.perimeter.perimeter import BODY_LIMIT
from crewship.perimeter.protocol import Protocol
from tests.process.origin import Origin, Response, ask, perimeter, security

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def serving(app: Any, http: Any) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=http,
                ws="none",
                lifespan="off",
                log_level="critical",
                proxy_headers=False,
                server_header=False,
            )
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        await task


async def exchange(port: int, *requests: Iterable[bytes]) -> list[tuple[int, bytes]]:
    """Status and body of each request, on one connection; a request is written whole before its answer is read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for parts in requests:
        for part in parts:
            writer.write(part)
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
        answers.append((int(head.split(b" ")[1]), await reader.readexactly(length)))
    writer.close()
    await writer.wait_closed()
    return answers


@pytest.mark.parametrize("http", ["httptools", "h11"])
async def test_a_client_that_sends_too_much_reads_its_answer_and_may_go_on(http: str) -> None:
    app = Origin(headers=((b"content-length", b"2"),))
    post = b"POST /api/v1/crews HTTP/1.1\r\nHost: crew.local\r\n"
    megabyte = b"x" * BODY_LIMIT
    chunk = b"%x\r\n" % BODY_LIMIT + megabyte + b"\r\n"
    async with serving(perimeter(app), http) as port:
        answers = await exchange(
            port,
            [post, b"Content-Length: %d\r\n\r\n" % (3 * BODY_LIMIT), megabyte, megabyte, megabyte],
            [post, b"Transfer-Encoding: chunked\r\n\r\n", chunk, chunk, chunk, b"0\r\n\r\n"],
            [post, b"Content-Length: 2\r\n\r\n{}"],
            [post, b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"],
        )
    assert [status for status, _ in answers] == [413, 413, 200, 200]
    assert [orjson.loads(body).get("status") for _, body in answers] == [413, 413, None, None]
    assert app.body == b"{}"


@pytest.mark.parametrize("target", [b"/api/../etc", b"/api/%2e%2e/etc", b"/api/v1/..%2fx"])
async def test_an_encoded_parent_segment_is_one_too(target: bytes) -> None:
    async with serving(perimeter(Origin()), "httptools") as port:
        [(status, _)] = await exchange(port, [b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n"])
    assert status == 400


@pytest.mark.slow
@pytest.mark.parametrize("http", ["httptools", "h11", Protocol])
async def test_an_answer_has_each_header_once_over_every_server(http: Any) -> None:
    """The service's own protocol takes the policy as lines; to others they are headers like any."""
    own = (b"content-security-policy", b"sandbox")
    for path, headers in (("/api/v1/crews", ()), ("/", ()), ("/exposed/x", ()), ("/api/v1/crews", (own,))):
        app = perimeter(Origin(headers=((b"content-length", b"2"), *headers)))
        expected = await ask(app, path=path)
        async with serving(app, http) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET %b HTTP/1.1\r\nHost: crew.local:8080\r\n\r\n" % path.encode())
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
            writer.close()
        given = dict(line.split(": ", 1) for line in lines)
        assert len(given) == len(lines)
        assert security(Response(200, given, b"")) == security(expected) | (
            {"date": given["date"]} if "date" in given else {}
        )
