"""The network namespace of a container, as the service uses it: sockets that are made there stay there."""

import ctypes
import os
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, TypeVar

from runtime.runs.job import Failed

T = TypeVar("T")
CLONE_NEWNET: Final = 0x40000000
UNREACHED: Final = "The network of the container could not be reached"


class Namespace:
    """The namespace of a container's process, by its number: held open, so that it stays the same when the process has
    ended.

    Raises Failed if it is the service's own: then the process had ended and its number was reused.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Failed(UNREACHED) from error
        ours, theirs = os.stat("/proc/self/ns/net"), os.fstat(self._descriptor)
        if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
            self.close()
            raise Failed(UNREACHED)

    def __enter__(self) -> "Namespace":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._descriptor)

    def listening(self, addresses: Sequence[tuple[str, int]]) -> list[socket.socket]:
        """Commands that run side by side listen at the same addresses, and each has what it serves there."""
        return self._within(lambda: _listening(addresses))

    def socket(self) -> socket.socket:
        """Not connected."""
        return self._within(_unconnected)

    def _within(self, make: Callable[[], T]) -> T:
        """In a thread that ends with it: a thread that has entered another namespace is good for nothing else."""
        made: list[T] = []
        why: list[BaseException] = []

        def enter() -> None:
            try:
                if ctypes.CDLL(None, use_errno=True).setns(self._descriptor, CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(make())
            except OSError as error:
                why.append(error)

        thread = threading.Thread(target=enter, name="container-network")
        thread.start()
        thread.join()
        if why:
            raise Failed(UNREACHED) from why[0]
        return made[0]


def _unconnected() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def _listening(addresses: Sequence[tuple[str, int]]) -> list[socket.socket]:
    made: list[socket.socket] = []
    try:
        for host, port in addresses:
            one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            made.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((host, port))
            one.listen(128)
    except OSError:
        for one in made:
            one.close()
        raise
    return made
