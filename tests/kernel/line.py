"""The way to the server of tests over TCP, which can fall silent: it takes and acknowledges, and passes nothing on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from crewship.process.postgres import Connection


class Line:
    """What is connected while it is `silent` stays so, as behind an address that has moved."""

    def __init__(self, place: str) -> None:
        self.place, self.port, self.silent = place, 0, False
        self._dead = asyncio.Event()
        self._taken: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}

    def fall_silent(self) -> None:
        self.silent = True
        self._dead.set()

    def speak(self) -> None:
        """To those who connect from now on."""
        self.silent, self._dead = False, asyncio.Event()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, dead = asyncio.current_task(), self._dead
        assert task is not None
        self._taken[task] = ends = [writer]
        with contextlib.suppress(OSError):
            if dead.is_set():
                while await reader.read(65536):
                    pass
            else:
                back, on = await asyncio.open_unix_connection(self.place)
                ends.append(on)
                await asyncio.gather(self._pass(reader, on, dead), self._pass(back, writer, dead))
        for end in ends:
            end.transport.abort()
        del self._taken[task]

    async def _pass(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, dead: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if not dead.is_set():
                    to.write(data)
                    await to.drain()
        to.close()

    async def end(self) -> None:
        taken = dict(self._taken)
        for writer in [writer for ends in taken.values() for writer in ends]:
            writer.transport.abort()
        await asyncio.gather(*taken)
        await asyncio.sleep(0)  # transports are closed


@contextlib.asynccontextmanager
async def line_to(server: Connection) -> AsyncIterator[Line]:
    line = Line(f"{server.sockets}/.s.PGSQL.{server.port}")
    async with await asyncio.start_server(line.take, "127.0.0.1", 0) as listener:
        line.port = listener.sockets[0].getsockname()[1]
        yield line
        await line.end()
