"""HTTP/1.1 by hand: what no client would send, byte by byte."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 20.0  # seconds; a loaded machine is slow, a hanging connection is a fault


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.headers} {self.body[:500]!r}"


async def speak(url: str, sent: bytes) -> Answer:
    """The answer to these bytes, read to the end of the connection, which they ask for, or of the body."""
    place = urlsplit(url)
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            with contextlib.suppress(ConnectionError):  # the server may answer and leave before everything is sent
                writer.write(sent)
                await writer.drain()
            return await _answer(reader, head=sent.startswith(b"HEAD "))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, *, head: bool) -> Answer:
    status = 100
    while status == 100:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
    if head or status in (204, 304):
        return Answer(status, headers)
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    return Answer(status, headers, await reader.read())


def request(
    method: str,
    target: str | bytes,
    *headers: bytes,
    body: bytes = b"",
    token: str | bytes | None = None,
    length: bool = True,
) -> bytes:
    """The bytes of a request that is well-formed as far as the parts are."""
    lines = [
        b"%b %b HTTP/1.1" % (method.encode(), target if isinstance(target, bytes) else target.encode()),
        b"Host: localhost",
        b"Connection: close",
    ]
    if token is not None:
        lines.append(b"Authorization: Bearer " + (token if isinstance(token, bytes) else token.encode()))
    if body and not any(line.lower().startswith(b"content-type") for line in headers):
        lines.append(b"Content-Type: application/json")
    if body and length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, *headers, b"", body])


def chunked(size: int, piece: int = 64 * 1024) -> bytes:
    """A chunked body of `size` bytes."""
    return b"".join(b"%x\r\n%b\r\n" % (piece, b"a" * piece) for _ in range(size // piece)) + b"0\r\n\r\n"
