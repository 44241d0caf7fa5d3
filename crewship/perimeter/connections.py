"""The connections of this process: their number, and how long one may keep the server waiting.

One timer checks all of them once a second. Requests pay nothing for it: a connection describes its state in plain
numbers (`stage`, `turns`, `body_bytes`), which the timer compares with the previous second's. See ADR 22.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

from prometheus_client import Gauge

from crewship.perimeter.line import Peer, Tcp
from resolvers.instance.addresses import subscriber

# What a connection waits for.
HEAD, BODY, ANSWER, FULL, DEAF = range(5)
"""The part of an exchange that the connection waits for: the head of a request (also a new, silent connection); its
body; the answer, or the next request when that is complete; the same on a connection that no longer reads; the
disconnection of a refused client.
"""

EVERY = 1.0  # seconds between two looks
AT_ONCE = 200  # connections, some of which may be ended; then others have their turn
HEAD_PATIENCE = 15.0  # seconds to the end of a head
BODY_PATIENCE, BODY_RATE = 15.0, 500.0  # a body has these seconds, and one more for so many bytes of it that have come
TAKING_PATIENCE = 30.0  # seconds in which a client takes nothing of what waits for it
LINGERING = 5.0  # seconds for a refused client to read why

# as many as this process asks for; some programs an agent starts walk through all that are allowed
DESCRIPTORS = 65_536
SHARE = 0.75  # of the descriptors for connections; the rest is for the database, files, pipes


class Holder(Protocol):
    """Anything that holds a connection. `place` belongs to the table."""

    peer: Peer
    loop: asyncio.AbstractEventLoop
    place: str | None


class Watched(Holder, Protocol):
    """An HTTP connection. `turns` counts requests, `body_bytes` what came of the body of the last; `seen` and `since`
    belong to the table.
    """

    stage: int
    turns: int
    body_bytes: int
    cycle: Any
    flow: Any
    transport: asyncio.Transport
    timeout_keep_alive: int  # seconds
    seen: tuple[int, int, int]
    since: float


def raise_descriptor_limit() -> None:
    """As many descriptors as the system lets this process have, within reason. The usual limit of 1,024 is meant for
    programs that call select().
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def room() -> int:
    """The number of connections that the descriptors of this process allow."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(SHARE * (DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, DESCRIPTORS)))


class Connections:
    """All connections, HTTP and WebSocket. The unix socket is outside every limit, because its client is the
    operator.
    """

    def __init__(self) -> None:
        self._watched: dict[Watched, None] = {}  # in the order in which they came
        self._sockets: set[Holder] = set()
        self._addresses: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._round: Iterator[Watched] = iter(())
        self._hopeless = False  # since the last look: full of connections that may not be closed
        self._at_end: list[Callable[[], None]] = []
        self.limit(1000)

    def __len__(self) -> int:
        return len(self._watched) + len(self._sockets)

    def limit(
        self, most_of_address: int, *, most: int | None = None, exempt: Callable[[str], bool] = lambda address: False
    ) -> None:
        """`most` connections in all, by default `room()`. One address never takes more than half of them, unless it is
        `exempt`, like proxies.
        """
        self._most = room() if most is None else most
        self._most_of_address, self._exempt = max(1, min(most_of_address, self._most // 2)), exempt

    def at_end(self, call: Callable[[], None]) -> Callable[[], None]:
        """`call` is made, maybe more than once, when the server ends, before it waits for requests; returns what takes
        that back.
        """
        self._at_end.append(call)
        return lambda: self._at_end.remove(call)

    def end(self) -> None:
        for call in self._at_end:
            call()

    def enter(self, connection: Watched) -> bool:
        """Counts a new connection and watches it; False if there is no room for it."""
        if self._loop is not connection.loop:
            self._begin(connection.loop)
        if isinstance(connection.peer, Tcp):
            if len(self) >= self._most and not self._make_room():
                return False
            if not self._count(connection, connection.peer.address):
                return False
        self._watched[connection] = None
        if self._timer is None:
            self._timer = connection.loop.call_later(EVERY, self._look)
        return True

    def leave(self, connection: Watched) -> None:
        """May be called more than once."""
        if connection in self._watched:
            del self._watched[connection]
            self._uncount(connection)

    def become_socket(self, connection: Watched, socket: Holder) -> None:
        """The same connection, which speaks WebSocket now, and has a heartbeat of its own."""
        self._watched.pop(connection, None)
        self._sockets.add(socket)
        socket.place, connection.place = connection.place, None

    def leave_socket(self, socket: Holder) -> None:
        if socket in self._sockets:
            self._sockets.remove(socket)
            self._uncount(socket)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watched.clear()
        self._sockets.clear()
        self._addresses.clear()
        self._loop, self._timer, self._hopeless = loop, None, False

    def _count(self, connection: Holder, address: str) -> bool:
        if self._exempt(address):
            return True
        place = subscriber(address)
        if self._addresses[place] >= self._most_of_address:
            return False
        self._addresses[place] += 1
        connection.place = place
        return True

    def _uncount(self, connection: Holder) -> None:
        place, connection.place = connection.place, None
        if place is not None:
            self._addresses[place] -= 1
            if self._addresses[place] <= 0:
                del self._addresses[place]

    # ---- the timer -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._round, self._hopeless = iter(list(self._watched)), False
        self._look_at_some()

    def _look_at_some(self) -> None:
        assert self._loop is not None
        now, seen = self._loop.time(), 0
        for connection in islice(self._round, AT_ONCE):
            seen += 1
            if connection in self._watched:
                self._look_at(connection, now)
        if seen == AT_ONCE:
            self._loop.call_soon(self._look_at_some)
        else:
            self._timer = self._loop.call_later(EVERY, self._look) if self._watched else None

    def _look_at(self, connection: Watched, now: float) -> None:
        stage, waiting = connection.stage, connection.transport.get_write_buffer_size()
        seen = (stage, connection.turns, waiting)
        if seen != connection.seen:
            connection.seen, connection.since = seen, now
            return
        patience = _patience(connection, stage, waiting)
        if patience is None:
            connection.since = now
        elif stage == BODY and connection.flow.read_paused:
            connection.since += EVERY  # it is the application that does not read
        elif now - connection.since >= patience:
            if stage == ANSWER and not waiting:
                connection.transport.close()
            else:
                connection.transport.abort()

    def _make_room(self) -> bool:
        """Sends away those who keep the server waiting, the longest first, and some at once so that it need not be done
        for each newcomer.
        """
        if self._hopeless:
            return False
        idle = sorted((c for c in self._watched if not _is_answering(c) and isinstance(c.peer, Tcp)), key=_dispensable)
        for connection in idle[: max(1, self._most // 16)]:
            self.leave(connection)
            connection.transport.abort()
        self._hopeless = not idle
        return bool(idle)


def _is_answering(connection: Watched) -> bool:
    return (
        connection.stage in (ANSWER, FULL) and connection.cycle is not None and not connection.cycle.response_complete
    )


def _patience(connection: Watched, stage: int, waiting: int) -> float | None:
    """The time that a connection may stay in this state; None for ever."""
    if waiting:
        return TAKING_PATIENCE
    if stage == HEAD:
        return HEAD_PATIENCE
    if stage == BODY:
        return (
            BODY_PATIENCE if connection.cycle.response_complete else BODY_PATIENCE + connection.body_bytes / BODY_RATE
        )
    if stage == DEAF:
        return LINGERING
    return None if _is_answering(connection) else connection.timeout_keep_alive


def _dispensable(connection: Watched) -> tuple[int, float]:
    """First those between two requests, then heads, then bodies; those who have been waited for longest first."""
    rank = {ANSWER: 0, FULL: 0, DEAF: 0, HEAD: 1}.get(connection.stage, 2)
    return rank, connection.since


connections = Connections()
Gauge("crewship_connections", "Open connections of this process, HTTP and WebSocket").set_function(
    lambda: len(connections)
)
