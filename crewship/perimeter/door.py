"""New connections do not wait behind a crowd: they are accepted at once, and served in turns by address.

The system's queue is one line. A client that fills it, with connections that each cost the service a tenth of a
millisecond to serve, delays all others behind its last one. Accepting a connection costs a tenth of that. See ADR 22.
"""

import asyncio
import errno
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import uvloop

from crewship.perimeter.connections import room
from resolvers.instance.addresses import subscriber

ROUND = 4  # connections that begin to be served in one round of the loop
BURST = 512  # connections that are taken in one round
WAITING, SHARE = 4096, 8  # connections that wait here, at most so many, and one in so many of those there may be
NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
PAUSE = 0.1  # seconds until the next try, where the system gives no more descriptors


class Door:
    """A listening socket. Addresses take turns; `most` wait at once, and beyond that the address with most of them has
    its last one closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: Callable[[], asyncio.BaseProtocol],
        listener: socket.socket,
        most: int | None = None,
    ) -> None:
        self._loop, self._protocol, self._listener = loop, protocol, listener
        self._most = min(WAITING, room() // SHARE) if most is None else most
        self._turns: dict[str, deque[socket.socket]] = {}  # the address whose turn it is comes first
        self._waiting, self._crowd = 0, ""  # and the address of which most wait, or did
        self._burst = 1  # others that listen on the same socket get their part, unless there is a crowd
        self._serving: asyncio.Handle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._open = False
        listener.setblocking(False)
        self._is_unix = listener.family == socket.AF_UNIX
        if not self._is_unix:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # those it takes have it, too
        self._listen()

    def close(self) -> None:
        """Refuses the waiting connections."""
        if self._open:
            self._loop.remove_reader(self._listener)
        self._open = False
        for waiting in self._turns.values():
            for connection in waiting:
                connection.close()
        self._turns, self._waiting = {}, 0

    async def wait_closed(self) -> None:
        await asyncio.gather(*self._opening)

    def _listen(self) -> None:
        if self._listener.fileno() >= 0:
            self._open = True
            self._loop.add_reader(self._listener, self._take)

    def _take(self) -> None:
        """Twice as many as the last time, as long as there are so many."""
        taken = 0
        try:
            while taken < self._burst:
                connection, address = self._listener.accept()
                taken += 1
                self._enqueue(connection, "" if self._is_unix else subscriber(address[0]))
        except OSError as error:
            if error.errno in NO_DESCRIPTORS:
                self._loop.remove_reader(self._listener)
                self._open = False
                self._loop.call_later(PAUSE, self._listen)
        self._burst = min(2 * self._burst, BURST) if taken == self._burst else 1
        if self._serving is None:
            self._serve()

    def _enqueue(self, connection: socket.socket, address: str) -> None:
        own = self._turns.setdefault(address, deque())
        own.append(connection)
        self._waiting += 1
        crowd = self._turns.get(self._crowd, own)
        if len(own) >= len(crowd):
            self._crowd, crowd = address, own
        if self._waiting > self._most:
            crowd.pop().close()
            self._waiting -= 1

    def _serve(self) -> None:
        for _ in range(min(ROUND, self._waiting)):
            address = next(iter(self._turns))
            waiting = self._turns.pop(address)
            if not waiting:
                continue
            opening = self._loop.create_task(self._connect(waiting.popleft()))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
            self._waiting -= 1
            if waiting:
                self._turns[address] = waiting
        self._serving = self._loop.call_soon(self._serve) if self._waiting else None

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:  # it ended meanwhile
            connection.close()


class Loop(uvloop.Loop):
    """uvloop's, whose servers on a socket that listens already are doors."""

    async def create_server(self, protocol_factory: Any, *args: Any, sock: Any = None, **options: Any) -> Any:
        if sock is None or options.get("ssl") is not None:
            return await super().create_server(protocol_factory, *args, sock=sock, **options)
        return Door(self, protocol_factory, sock)
