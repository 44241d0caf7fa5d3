"""Clients that speak HTTP by hand, and badly; and an application so small that only the server is tested."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from tests.world import serving

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
GET = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
MEGABYTE = 1024 * 1024


App = Callable[[Any, Any, Any], Awaitable[None]]


def application(answer: App) -> App:
    """An ASGI application that starts and ends, and answers requests in this way."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            return await answer(scope, receive, send)
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})

    return app


@application
async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, says how long it was, and how many headers came."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message["body"]), message["more_body"]
    answer = b"%d %d" % (size, len(scope["headers"]))
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@contextlib.asynccontextmanager
async def served(app: Any = echo) -> AsyncIterator[int]:
    async with serving(app) as url:
        yield int(url.rsplit(":", 1)[1])


async def connect(port: int) -> Pair:
    return await asyncio.open_connection("127.0.0.1", port)


async def rest_of(reader: asyncio.StreamReader, patience: float = 20) -> bytes:
    """Everything until the server hangs up; it has to."""
    got = b""
    async with asyncio.timeout(patience):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                got += chunk
    return got


async def pour(port: int, parts: Iterable[bytes]) -> tuple[int, bytes]:
    """Sends until there is an answer or an end; how many bytes were sent until then, and what came."""
    reader, writer = await connect(port)
    sent = 0
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            sent += len(part)
            await asyncio.sleep(0)
            if reader._buffer or reader.at_eof():  # type: ignore[attr-defined]
                break
    got = await rest_of(reader)
    writer.close()
    return sent, got


async def healthy(port: int) -> bool:
    """Whether a newcomer is answered."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await connect(port)
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            writer.close()
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    return head.startswith(b"HTTP/1.1 200")


def peak_memory() -> int:
    """Bytes that this process has ever held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def until(happens: Any, patience: float = 20) -> None:
    async with asyncio.timeout(patience):
        while not happens():
            await asyncio.sleep(0.02)
