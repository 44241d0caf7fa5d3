"""A shell's terminal in a container: the engine creates it and sets its size."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Final

from runtime.containers.engine import ContainerEngine, Running
from runtime.containers.launcher import holding, shell
from runtime.runs.job import Failed
from runtime.sandbox.process import to_the_end

log = logging.getLogger("crewship.containers")
_LONGEST: Final = 64
"""Bytes of the line with the number of the session."""


class ContainerTerminal:
    """A terminal in a container, as the port defines it."""

    def __init__(self, running: Running, first: bytes) -> None:
        self._running, self._first = running, first
        self._pieces = running.pieces()
        self._resizes: set[asyncio.Task[None]] = set()

    async def read(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            async for _, piece in self._pieces:
                if piece:
                    return piece
        except Failed as failed:
            log.warning("a terminal lost its container engine: %s", failed)
        return b""

    async def write(self, typed: bytes) -> None:
        """Input for a program that has ended is dropped."""
        with contextlib.suppress(Failed):
            await self._running.write(typed)

    def resize(self, rows: int, columns: int) -> None:
        task = asyncio.ensure_future(self._resize(rows, columns))
        self._resizes.add(task)
        task.add_done_callback(self._resizes.discard)

    async def _resize(self, rows: int, columns: int) -> None:
        with contextlib.suppress(Failed):
            await self._running.resize(rows, columns)

    async def close(self) -> None:
        for task in self._resizes:
            task.cancel()
        await asyncio.gather(*self._resizes, return_exceptions=True)


@contextlib.asynccontextmanager
async def opened(
    engine: ContainerEngine,
    container: str,
    *,
    user: str,
    workdir: str,
    environment: Mapping[str, str],
    size: tuple[int, int],
) -> AsyncIterator[ContainerTerminal]:
    """Raises Failed where it does not begin. With the block the session ends, and also where this process dies."""
    how = {"user": user, "workdir": workdir, "environment": environment}
    async with engine.running(container, shell(), terminal=True, **how) as running:  # type: ignore[arg-type]
        number, first = await _session(running)
        async with engine.running(
            container, holding(number), user=user, workdir="/", environment={}, lifeline=True
        ) as held:
            made = ContainerTerminal(running, first)
            try:
                await made._resize(*size)
                yield made
            finally:
                await to_the_end(_ended(made, held))


async def _session(running: Running) -> tuple[int, bytes]:
    head = b""
    async for _, piece in running.pieces():
        head += piece
        line, found, rest = head.partition(b"\n")
        if found and line.strip().isdigit():
            return int(line), rest
        if found or len(head) > _LONGEST:
            break
    raise Failed("The terminal could not be started")


async def _ended(made: ContainerTerminal, held: Running) -> None:
    await made.close()
    await held.close()
