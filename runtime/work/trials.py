"""Tries routines and their steps outside of runs. The language is loaded with the first of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from resolvers.instance.ports import NotRun, RoutineTrial, TriedStep, WalkedRoutine

WALKS: Final = 4
"""Walks of this process: each may hold a process for expressions, and megabytes of texts."""
ATTEMPTS: Final = 16
"""Steps of this process that are executed by themselves: each may hold megabytes, and lasts two minutes at most."""
PATIENCE: Final = 10.0
"""Seconds that a trial waits for its turn."""
BUSY: Final = "too many routines are tried at once"


class Trials:
    """The port of operations: see RoutineTrials."""

    def __init__(self) -> None:
        self._places = dict[int, asyncio.Semaphore]()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def walk(self, trial: RoutineTrial) -> WalkedRoutine:
        async with self._turn(WALKS):
            from runtime.work.routines.rehearsing import walk

            return await walk(trial)

    async def attempt(self, trial: RoutineTrial, step_id: str) -> TriedStep:
        async with self._turn(ATTEMPTS):
            from runtime.work.routines.rehearsing import attempt

            return await attempt(trial, step_id)

    @contextlib.asynccontextmanager
    async def _turn(self, most: int) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._places, self._loop = {}, loop
        places = self._places.setdefault(most, asyncio.Semaphore(most))
        try:
            await asyncio.wait_for(places.acquire(), PATIENCE)
        except TimeoutError:
            raise NotRun(BUSY) from None
        try:
            yield
        finally:
            places.release()
