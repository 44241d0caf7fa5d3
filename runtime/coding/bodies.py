"""Bodies of requests on their way from a sandbox: a small one in memory, any other on the disk, and all of a run
bounded together. The sandbox's own limits count none of it.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any, Final

IN_MEMORY: Final = 256 << 10
"""Bytes of a body that needs no file."""
LARGEST: Final = 64 << 20
TOGETHER: Final = 96 << 20
"""Bytes of all bodies of a run that have not been answered yet."""
ARRIVES: Final = 60.0
"""Seconds in which a body is there, from its head on: it comes from this machine."""
PIECE: Final = 256 << 10


class TooLarge(Exception):
    """The body alone has more than it may."""


class TooMuch(Exception):
    """Other requests of the run have taken the room."""


class Bodies:
    """The stored request bodies of one run. `folder`: the place of the files, which have no name and disappear with the
    process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self.held = 0

    def receive(self, announced: int) -> "Body":
        """`announced` bytes; 0 if unknown. Raises TooLarge and TooMuch; the caller closes it."""
        if announced > LARGEST:
            raise TooLarge
        if self.held + announced > TOGETHER:
            raise TooMuch
        return Body(self)

    def take(self, size: int) -> None:
        if self.held + size > TOGETHER:
            raise TooMuch
        self.held += size

    def give_back(self, size: int) -> None:
        self.held -= size

    def _open(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._folder)

    async def file(self) -> IO[bytes]:
        if self._folder is not None:
            await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        opening = asyncio.ensure_future(asyncio.to_thread(self._open))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close)
            raise


def _close(opening: "asyncio.Future[Any]") -> None:
    """Closes a file whose requester has gone."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class Body:
    """Filled by `add`, and then read as often as it is sent."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    @property
    def is_on_disk(self) -> bool:
        return self._file is not None

    async def add(self, piece: bytes | bytearray) -> None:
        if self.size + len(piece) > LARGEST:
            raise TooLarge
        self._bodies.take(len(piece))
        self.size += len(piece)
        self._held += piece
        if len(self._held) > IN_MEMORY:
            await self._put_down()

    async def _put_down(self) -> None:
        self._file = self._file or await self._bodies.file()
        held, self._held = self._held, bytearray()
        await asyncio.to_thread(self._file.write, held)

    async def whole(self) -> bytes:
        """In memory, for as long as the caller has it."""
        if self._file is None:
            return bytes(self._held)
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncIterator[bytes]:
        if self._file is not None:
            await asyncio.to_thread(self._file.seek, 0)
            while piece := await asyncio.to_thread(self._file.read, PIECE):
                yield piece
            await asyncio.to_thread(self._file.seek, 0, 2)
        if self._held:
            yield bytes(self._held)

    async def close(self) -> None:
        self._bodies.give_back(self.size)
        self.size = 0
        if self._file is not None:
            await asyncio.shield(asyncio.to_thread(self._file.close))
