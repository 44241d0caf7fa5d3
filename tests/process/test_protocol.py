"""The server's HTTP protocol by hand: one write an answer, and the framing that HTTP/1.1 wants."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.world import serving

pytestmark = pytest.mark.anyio

App = Callable[[Any, Any, Any], Awaitable[None]]


def answering(*messages: dict[str, Any]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        for message in messages:
            await send(dict(message))

    return app


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def raw(app: App, request: bytes, patience: float = 1) -> bytes:
    """Everything that comes until the server closes, or `patience` seconds have passed."""
    async with serving(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(request)
        got = b""
        try:
            async with asyncio.timeout(patience):
                while chunk := await reader.read(65536):
                    got += chunk
        except TimeoutError:
            pass
        writer.close()
    return got


GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LENGTH = (b"content-length", b"5")


@pytest.mark.slow
async def test_head_and_body_are_one_answer() -> None:
    got = await raw(answering(start(200, LENGTH), body(b"hello")), GET)
    head, _, rest = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest == b"hello"


@pytest.mark.slow
async def test_a_body_in_parts_of_known_length() -> None:
    got = await raw(answering(start(200, LENGTH), body(b"he", True), body(b"llo")), GET)
    assert got.endswith(b"\r\n\r\nhello")


@pytest.mark.slow
async def test_a_body_of_unknown_length_is_chunked() -> None:
    got = await raw(answering(start(200), body(b"one", True), body(b"", True), body(b"three")), GET)
    assert b"transfer-encoding: chunked\r\n" in got
    assert got.endswith(b"\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n")


@pytest.mark.slow
async def test_head_has_the_headers_and_no_body() -> None:
    got = await raw(answering(start(200, LENGTH), body(b"hello")), b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert b"content-length: 5\r\n" in got
    assert got.endswith(b"\r\n\r\n")


LARGE = bytes(range(256)) * 12_000  # some 3 MB


@pytest.mark.parametrize(
    "headers", [((b"content-length", b"%d" % len(LARGE)),), ()], ids=["of known length", "chunked"]
)
async def test_a_large_body_comes_whole_and_the_next_answer_after_it(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    app = answering(start(200, *headers), body(LARGE))
    head = b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n"
    async with serving(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        async with asyncio.timeout(20):
            for request in (GET, head, GET):
                writer.write(request)
            bodies = []
            for with_body in (True, False, True):
                lines = (await reader.readuntil(b"\r\n\r\n")).lower()
                if with_body:
                    bodies.append(await reader.readexactly(len(LARGE)) if headers else await dechunked(reader))
                assert lines.startswith(b"http/1.1 200 ok")
        writer.close()
    assert bodies == [LARGE, LARGE]


async def dechunked(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


async def test_others_are_answered_while_a_client_takes_a_large_body_slowly() -> None:
    app = answering(start(200, (b"content-length", b"%d" % len(LARGE * 5))), body(LARGE * 5))
    async with serving(app) as url:
        port = int(url.rsplit(":", 1)[1])
        slow, to_slow = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        to_slow.write(GET)
        await slow.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(LARGE * 5)) == LARGE * 5
            assert await slow.readexactly(len(LARGE * 5)) == LARGE * 5
        to_slow.close()
        writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_have_no_framing(status: int) -> None:
    got = await raw(answering(start(status), body(b"")), GET)
    assert b"transfer-encoding" not in got
    assert got.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b=c", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_cannot_bring_another_one(value: bytes) -> None:
    got = await raw(answering(start(302, (b"location", value), (b"content-length", b"0")), body(b"")), GET)
    assert b"set-cookie" not in got
    assert b"location" not in got


@pytest.mark.parametrize("data", [b"hell", b"hello!"])
async def test_a_body_of_another_length_ends_the_connection(data: bytes) -> None:
    got = await raw(answering(start(200, LENGTH), body(data)), GET + GET)
    assert got.count(b"HTTP/1.1 ") <= 1


@pytest.mark.slow
async def test_requests_in_a_row_are_answered_in_a_row() -> None:
    got = await raw(answering(start(200, LENGTH), body(b"hello")), GET * 3)
    assert got.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"]
)
async def test_the_connection_closes_when_the_client_wants_it(request_: bytes) -> None:
    started = time.monotonic()
    got = await raw(answering(start(200, LENGTH), body(b"hello")), request_, patience=30)
    assert time.monotonic() - started < 20
    assert b"connection: close" in got


async def test_an_upgrade_that_is_no_handshake_is_refused() -> None:
    request = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n"
    assert (await raw(answering(start(200, LENGTH), body(b"hello")), request)).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("request_body", [b"", b"x" * 10])
async def test_an_answer_that_has_not_begun_when_the_server_ends_is_told(request_body: bytes) -> None:
    """The body is read after the signal, as by a request that waits for GraphQL to be made."""
    asked, go_on, read = asyncio.Event(), asyncio.Event(), list[bytes]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await answering()(scope, receive, send)
        asked.set()
        await go_on.wait()
        for _ in range(2):
            read.append((await asyncio.wait_for(receive(), 3))["body"])
        third = asyncio.ensure_future(receive())
        await asyncio.sleep(0.05)
        assert not third.done()
        third.cancel()
        await send(start(200, (b"content-length", b"0")))
        await send(body(b""))

    async with serving(app) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(request_body), request_body))
        await asked.wait()
        asyncio.get_running_loop().call_later(0.3, go_on.set)
        begun = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - begun < 5
    assert read == [request_body, b""]
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
