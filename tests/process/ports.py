"""The server of tests over TCP, which it does not listen on."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from crewship.process.postgres import Connection


def _passed_on(taken: socket.socket, place: str) -> None:
    with taken, socket.socket(socket.AF_UNIX) as server:
        server.connect(place)

        def back() -> None:
            with contextlib.suppress(OSError):
                while data := server.recv(65536):
                    taken.sendall(data)
            with contextlib.suppress(OSError):
                taken.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=back, daemon=True).start()
        with contextlib.suppress(OSError):
            while data := taken.recv(65536):
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def reached(postgres: Connection) -> Iterator[int]:
    """A port of the server of tests, whose own socket the pooler's user may not reach."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = f"{postgres.sockets}/.s.PGSQL.{postgres.port}"

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=_passed_on, args=(listener.accept()[0], place), daemon=True).start()

        threading.Thread(target=take, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
