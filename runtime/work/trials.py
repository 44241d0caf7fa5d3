"""Tries routines and their steps outside of runs. The language is loaded with the first of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from resolvers.instance.ports import NotRun, RoutineTrial, TriedStep, WalkedRoutine

AT_ONCE: Final = 4
"""Trials of this process: each may hold a process for expressions, and megabytes of texts."""
PATIENCE: Final = 10.0
"""Seconds that a trial waits for its turn."""
BUSY: Final = "too many routines are tried at once"


class Trials:
    """The port of operations: see RoutineTrials."""

    def __init__(self) -> None:
        self._places: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def walk(self, trial: RoutineTrial) -> WalkedRoutine:
        async with self._turn():
            from runtime.work.routines.rehearsing import walk

            return await walk(trial)

    async def attempt(self, trial: RoutineTrial, step_id: str) -> TriedStep:
        async with self._turn():
            from runtime.work.routines.rehearsing import attempt

            return await attempt(trial, step_id)

    @contextlib.asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        if self._places is None or self._loop is not loop:
            self._places, self._loop = asyncio.Semaphore(AT_ONCE), loop
        places = self._places
        try:
            await asyncio.wait_for(places.acquire(), PATIENCE)
        except TimeoutError:
            raise NotRun(BUSY) from None
        try:
            yield
        finally:
            places.release()
