"""A database host that vanishes without a word: its connections end after half a minute, not after a quarter
of an hour. What acknowledges everything and answers nothing is noticed by the statements under way.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

STATEMENT = 30  # seconds that PostgreSQL lets a statement of the pool run
LIMIT = STATEMENT + 5.0  # seconds without an answer, after which none will come
LOOK = 5.0  # seconds between two looks at the connections of a pool
GONE = 30.0  # seconds without an acknowledgement
CONNECTING = 10.0  # seconds that a new connection may take
PARTING = 1.0  # seconds that the end of a connection may take
IDLE, INTERVAL, PROBES = 10, 5, 3  # seconds of silence before the first question, between two, and how many
LIBPQ = {
    "connect_timeout": str(int(CONNECTING)),
    "keepalives_idle": str(IDLE),
    "keepalives_interval": str(INTERVAL),
    "keepalives_count": str(PROBES),
    "tcp_user_timeout": str(int(GONE * 1000)),
}
"""The same by the words of an address."""
OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", IDLE),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", INTERVAL),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", PROBES),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", int(GONE * 1000)),
)


def noticed(connection: Any) -> Any:
    """The connection of asyncpg, whose peer may not be silent for longer. A unix socket ends with its server."""
    opened = connection._transport.get_extra_info("socket")
    if opened is not None and opened.family in (socket.AF_INET, socket.AF_INET6):
        for level, name, value in OPTIONS:
            if hasattr(socket, name):  # as far as the system has it
                opened.setsockopt(level, getattr(socket, name), value)
    return connection


class SilenceWatch:
    """One timer for all connections of a pool. Closes those whose statement has had no answer for longer than
    PostgreSQL lets a statement run, and calls `silent` with their number.

    It counts looks instead of seconds, because data that arrived while this process was stopped is read before the next
    look.
    """

    def __init__(self, silent: Callable[[int], None], every: float = LOOK, limit: float = LIMIT) -> None:
        self._silent, self._every, self._looks = silent, every, round(limit / every)
        self._seen: dict[Any, tuple[int, int]] = {}  # the statement a connection was at, and at how many looks before
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connection: Any) -> None:
        """Until it is closed."""
        self._seen[connection] = (-1, 0)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._look)

    def _look(self) -> None:
        self._timer, ended = None, 0
        for connection, (known, looks) in list(self._seen.items()):
            if connection.is_closed():
                del self._seen[connection]
                continue
            statement = connection.statement
            looks = looks + 1 if statement == known != -1 else 0
            self._seen[connection] = (statement, looks)
            if looks >= self._looks:
                connection.terminate()
                ended += 1
        if self._seen:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._look)
        if ended:
            self._silent(ended)
