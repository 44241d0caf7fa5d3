"""A database host that vanishes without a word: its connections end after half a minute, not after a quarter
of an hour.
"""

import socket
from typing import Any

GONE = 30.0  # seconds without an acknowledgement
CONNECTING = 10.0  # seconds that a new connection may take
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
