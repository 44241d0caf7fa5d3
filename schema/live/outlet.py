"""The way out of an HTTP stream: a small queue that its response drains, and the sign of life that keeps it open."""

import asyncio
from collections.abc import Callable

ROOM = 256 * 1024  # bytes that may wait for one reader; a slower one reads from the tables
# seconds; a reader that takes nothing for two of these is cut off (contract: websocket.connection.write_timeout)
EVERY = 6.0
QUIET = 2  # of these, until something is sent only to be sent


class StreamOutlet:
    """The outlet that `LiveConnection` writes to. The response uses `take` and `sent`."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._size = 0  # bytes that are not sent, those that `take` has handed out included
        self._filled, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self.closed = False
        self.progress = 0  # bytes sent

    @property
    def congested(self) -> bool:
        return self._size >= ROOM

    @property
    def idle(self) -> bool:
        return self._size == 0

    def write(self, frame: bytes) -> None:
        if not self.closed:
            self._waiting.append(frame)
            self._size += len(frame)
            self._filled.set()
            if self._size >= ROOM:
                self._room.clear()

    async def drained(self) -> None:
        await self._room.wait()
        if self.closed:
            raise ConnectionError("the stream is closed")

    def close(self) -> None:
        """Accepts no more; waiting frames can still be taken."""
        self.closed = True
        self._filled.set()
        self._room.set()

    async def take(self) -> bytes:
        """All that waits, when there is something; nothing once the outlet is closed and empty."""
        await self._filled.wait()
        taken = b"".join(self._waiting)
        self._waiting.clear()
        if not self.closed:
            self._filled.clear()
        return taken

    def sent(self, size: int) -> None:
        self._size -= size
        self.progress += size
        if self._size < ROOM:
            self._room.set()


class Beat:
    """One stream on the heart's list."""

    __slots__ = ("progress", "quiet", "stuck")

    def __init__(self) -> None:
        self.progress = self.quiet = self.stuck = 0


class Heart:
    """One clock for all streams of the process: sends a sign of life on silent streams, and disconnects clients that
    read nothing.

    The sign makes proxies keep the connection, and the kernel notice that the client is gone.
    """

    def __init__(self) -> None:
        self._beats: dict[StreamOutlet, tuple[Beat, bytes, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, outlet: StreamOutlet, sign: bytes, cut_off: Callable[[], None]) -> None:
        self._beats[outlet] = (Beat(), sign, cut_off)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick)

    def remove(self, outlet: StreamOutlet) -> None:
        self._beats.pop(outlet, None)
        if not self._beats and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick)
        for outlet, (beat, sign, cut_off) in list(self._beats.items()):
            moved = outlet.progress != beat.progress
            beat.progress = outlet.progress
            beat.quiet = 0 if moved else beat.quiet + 1
            beat.stuck = 0 if moved or outlet.idle else beat.stuck + 1
            if beat.stuck >= QUIET:
                cut_off()
            elif outlet.idle and beat.quiet >= QUIET:
                outlet.write(sign)


heart = Heart()
