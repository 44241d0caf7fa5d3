"""A WebSocket client by hand (RFC 6455): any bytes can be sent, and nothing is read unless asked for."""

import asyncio
import base64
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
SMALL = 4096  # bytes that the kernel may hold for a client that does not read


def frame(
    data: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    masked: bool = True,
    reserved: int = 0,
    declared: int | None = None,
) -> bytes:
    """`declared`: a length other than that of the data."""
    size = len(data) if declared is None else declared
    mask = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | reserved | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([mask | 127]) + size.to_bytes(8, "big")
    if not masked:
        return head + data
    key = os.urandom(4)
    repeated = (key * (len(data) // 4 + 1))[: len(data)]
    return (
        head + key + (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")
        if data
        else head + key
    )


@dataclass
class Raw:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def say(self, **message: Any) -> None:
        await self.send(frame(orjson.dumps(message)))

    async def receive(self) -> tuple[int, bytes]:
        """The next frame: opcode and data."""
        head = await self.reader.readexactly(2)
        size = head[1]
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return head[0] & 0xF, await self.reader.readexactly(size)

    async def hear(self) -> Any:
        """The next text frame's object; None at the end of the connection."""
        while True:
            try:
                opcode, data = await self.receive()
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
            if opcode == TEXT:
                return orjson.loads(data)

    async def close_code(self) -> int | None:
        """Of the close frame, which is answered. None: the connection ended without one, or it names no code."""
        async with asyncio.timeout(30):
            try:
                while True:
                    opcode, data = await self.receive()
                    if opcode == CLOSE:
                        await self.send(frame(data, CLOSE))
                        return int.from_bytes(data[:2], "big") if data else None
            except (asyncio.IncompleteReadError, ConnectionError):
                return None


@contextlib.asynccontextmanager
async def raw(url: str, *, buffer: int | None = None) -> AsyncIterator[Raw]:
    """`buffer`: how little the kernel and this client take in before they are read."""
    place = urlsplit(url)
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (place.hostname, place.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=buffer or 2**16)
    key = base64.b64encode(os.urandom(16))
    writer.write(
        b"GET %b?%b HTTP/1.1\r\nHost: %b\r\n" % (place.path.encode(), place.query.encode(), place.netloc.encode())
    )
    writer.write(
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
    )
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        yield Raw(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
