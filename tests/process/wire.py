"""A wire between a process and PostgreSQL that counts the statements on it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

HEAD = 5  # bytes: the type of a message, and its length
RUNS = frozenset(b"QE")  # what has PostgreSQL carry a statement out: Query, and Execute


@dataclass
class Wire:
    statements: int = 0


@contextlib.asynccontextmanager
async def counted(server: Path, place: Path) -> AsyncIterator[Wire]:
    """`server`: its socket; `place`: a socket that leads there while the block runs."""
    wire, tasks = Wire(), set[asyncio.Task[None]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_unix_connection(str(server))
        back = asyncio.create_task(_copy(there, writer))
        tasks.add(back)
        try:
            length = await reader.readexactly(4)  # the first message has no type
            to.write(length + await reader.readexactly(int.from_bytes(length, "big") - 4))
            while True:
                head = await reader.readexactly(HEAD)
                to.write(head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4))
                wire.statements += head[0] in RUNS
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it is over
        finally:
            for end in (to, writer):
                end.close()
            back.cancel()
            tasks.discard(back)

    listening = await asyncio.start_unix_server(connected, str(place))
    try:
        yield wire
    finally:
        listening.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # transports close in the next turns of the loop


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()
