"""The peer of a connection: determined once, at its beginning, by the family of its socket alone.

The client of the unix socket is the operator, so nothing but a unix socket may count as one. A missing fact, such as
the address of a connection that was reset before it was served, is never a reason to grant anything.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

PEER = "crewship.peer"  # of a scope's extensions: the Peer of the connection


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A program of the service's own user: no other user can open the socket."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """`tls`: this process itself has decrypted the connection."""

    address: str
    tls: bool = False


Peer = UnixSocket | Tcp


def peer_of(transport: asyncio.BaseTransport, *, tls: bool) -> Peer | None:
    """None: a peer without identity, whose connection must be closed."""
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
