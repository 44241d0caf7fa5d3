"""Bytes between two sockets. Nothing is read that cannot be passed on at once, so nothing piles up."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

PIECE = 64 << 10


class Wire:
    """One end of a connection. `alive` is called whenever something goes in or out."""

    def __init__(self, opened: socket.socket, alive: Callable[[], None]) -> None:
        self._socket, self._alive = opened, alive
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> bytes:
        """Empty when the other side has ended. Raises OSError if it is gone."""
        data = await self._loop.sock_recv(self._socket, PIECE)
        self._alive()
        return data

    async def send(self, data: bytes) -> None:
        if data:
            await self._loop.sock_sendall(self._socket, data)
            self._alive()

    def finish(self) -> None:
        """Ends the sending side; the other side may still send."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()


async def relay(one: Wire, other: Wire) -> None:
    """Forwards until both sides have ended, or one is gone."""
    ways = [asyncio.ensure_future(_carry(one, other)), asyncio.ensure_future(_carry(other, one))]
    try:
        done, left = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        if not left:
            for way in done:
                way.exception()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _carry(source: Wire, target: Wire) -> None:
    while data := await source.receive():
        await target.send(data)
    target.finish()
