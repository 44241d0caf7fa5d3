"""Where the embedded PostgreSQL listens: sockets in a directory, and free ports of loopback."""

import socket
from pathlib import Path


def socket_in(directory: Path, number: int) -> Path:
    """The name that PostgreSQL and its clients give a socket."""
    return directory / f".s.PGSQL.{number}"


def listens(sockets: Path | None, port: int) -> bool:
    family = socket.AF_INET if sockets is None else socket.AF_UNIX
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(("127.0.0.1", port) if sockets is None else str(socket_in(sockets, port)))
        except OSError:
            return False
    return True


def is_free(port: int) -> bool:
    if port == 0:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
