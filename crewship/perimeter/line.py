"""Who is on the line: asked once a connection, when it begins, and answered by the family of its socket alone.

Whoever opens the unix socket is the operator, so nothing may lead there but the socket being one. What cannot be known
about a connection, such as the address of one that was reset before it was served, is no answer to the question.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

PEER = "crewship.peer"  # of a scope's extensions: the Peer of the connection


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A program of the service's own user: nobody else opens the socket."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """`tls`: this process itself has decrypted what it says."""

    address: str
    tls: bool = False


Peer = UnixSocket | Tcp


def peer_of(transport: asyncio.BaseTransport, *, tls: bool) -> Peer | None:
    """None: nobody that anything could be granted or counted to, and the connection has to end."""
    connection: Any = transport.get_extra_info("socket")
    family = None if connection is None else connection.family
    if family == socket.AF_UNIX:
        return UnixSocket()
    if family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        return Tcp(connection.getpeername()[0], tls)
    except OSError:  # reset before it is served; what it had sent until then would come all the same
        return None
