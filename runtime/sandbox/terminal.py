"""A terminal of a program in a sandbox: the end that people type at."""

import asyncio
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from runtime.sandbox.process import PIECE, ready, write_all

TERM: Final = "xterm-256color"


@dataclass(slots=True)
class Ends:
    """Both ends of a pseudo terminal. Closed with the block."""

    ours: int
    theirs: int

    @classmethod
    def open(cls, size: tuple[int, int], owner: int | None) -> "Ends":
        ours, theirs = os.openpty()
        ends = cls(ours, theirs)
        try:
            os.set_blocking(ours, False)
            if owner is not None:
                os.fchown(theirs, owner, -1)
            set_size(ours, *size)
        except BaseException:
            ends.__exit__(None, None, None)
            raise
        return ends

    def started(self) -> None:
        """The program has its end."""
        os.close(self.theirs)
        self.theirs = -1

    def __enter__(self) -> "Ends":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (self.ours, self.theirs):
            if descriptor >= 0:
                os.close(descriptor)


def set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Terminal:
    """`watching` has the reason for which the program was killed, if any."""

    def __init__(self, descriptor: int, watching: Coroutine[Any, Any, str]) -> None:
        self._descriptor = descriptor
        self._watch = asyncio.ensure_future(watching)

    async def read(self) -> bytes:
        """The program's next output; empty when it has ended."""
        while True:
            ended = self._watch.done()  # known before the read: what it wrote last may come at the same time
            try:
                return os.read(self._descriptor, PIECE)
            except BlockingIOError:
                if ended:
                    return b""
                waiting = asyncio.ensure_future(ready(self._descriptor))
                try:
                    await asyncio.wait((waiting, self._watch), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waiting.cancel()
                    await asyncio.gather(waiting, return_exceptions=True)
            except OSError:  # the other end is closed
                return b""

    async def write(self, typed: bytes) -> None:
        """Waits while the program reads nothing."""
        await write_all(self._descriptor, typed)

    def resize(self, rows: int, columns: int) -> None:
        with contextlib.suppress(OSError):
            set_size(self._descriptor, rows, columns)

    async def excess(self) -> str:
        """The exceeded limit for which it was killed; empty if it has ended by itself or still runs."""
        return self._watch.result() if self._watch.done() and not self._watch.cancelled() else ""

    async def close(self) -> None:
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
