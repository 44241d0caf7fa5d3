"""Writes records of runs to DBOS's tables: many in one statement, in the background.

A run's own rows decide what it has done. The engine reads these records when it resumes a run; operators may read them
too.
"""

import asyncio
import contextlib
import time

from resolvers.instance.telemetry import log
from resolvers.kernel.store.database import database
from resolvers.staff.runs.work import passes
from runtime.engine import dbos_tables

GATHER = 1.0  # seconds in which records are gathered
MOST = 1_000  # steps of one statement
KEPT = 20_000  # steps that wait for a database that is away; then the oldest are not recorded
AGAIN = 1.0  # seconds between two tries
OWN = "/runs"  # behind the name of the process: at its launch, the library would begin anew what has the name itself

Step = tuple[str, int, str, int]
"""The run, the number of the step in it, its name, and when it ended (milliseconds since 1970)."""


class Records:
    """The records of the runs of one process."""

    def __init__(self, executor: str) -> None:
        self._names = executor + OWN, executor
        self._numbers: dict[str, int] = {}  # of the last step of each run that is carried out here
        self._begun: dict[str, None] = {}
        self._ended: dict[str, None] = {}
        self._steps: list[Step] = []
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begun(self, run_id: str) -> None:
        self.resumed(run_id)
        self._begun[run_id] = None
        self._changed()

    def resumed(self, run_id: str) -> None:
        """The library has it on record."""
        self._numbers[run_id] = 0

    def step(self, run_id: str, name: str) -> None:
        if run_id not in self._numbers:
            return
        self._numbers[run_id] += 1
        self._steps.append((run_id, self._numbers[run_id], name, int(time.time() * 1000)))
        self._changed()

    def ended(self, run_id: str) -> None:
        """Records a normal end: no process resumes the run."""
        self._ended[run_id] = None
        self._changed()

    def left(self, run_id: str) -> None:
        """The run no longer runs here."""
        self._numbers.pop(run_id, None)

    # ---- writing -------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def settle(self) -> None:
        """Until all of it is written, or cannot be."""
        while self._task is not None:
            self._hurry.set()
            await asyncio.wait([self._task])

    async def close(self, seconds: float) -> None:
        """Records that cannot be written by then are lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.settle()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await self._pause(GATHER)
            while self._begun or self._ended or self._steps:
                await self._try()
        finally:
            self._task = None
            self._hurry.clear()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    async def _try(self) -> None:
        begun, ended, steps = list(self._begun), list(self._ended), self._steps[:MOST]
        try:
            await self._write(begun, ended, steps)
        except Exception as error:
            if passes(error) and not self._hurry.is_set():
                del self._steps[: max(len(self._steps) - KEPT, 0)]
                return await self._pause(AGAIN)
            log.warning("runs not on record", runs=len({*begun, *ended}), error=type(error).__name__)
        for run_id in begun:
            self._begun.pop(run_id, None)
        for run_id in ended:
            self._ended.pop(run_id, None)
        del self._steps[: len(steps)]

    async def _write(self, begun: list[str], ended: list[str], steps: list[Step]) -> None:
        columns = [list(column) for column in zip(*steps, strict=True)] if steps else [[], [], [], []]
        async with database.lease() as conn:
            await conn.execute(dbos_tables.RECORD, *self._names, begun, ended, *columns)

    # ---- what is on record ---------------------------------------------------------------------------------------

    async def steps(self, run_id: str) -> list[str]:
        await self.settle()
        async with database.lease() as conn:
            return [name for (name,) in await conn.fetch(dbos_tables.RECORDED, run_id)]

    async def cancel(self, run_id: str) -> None:
        await self.settle()
        async with database.lease() as conn:
            await conn.execute(dbos_tables.CANCEL, run_id)

    async def forget(self, before: float, queue: str) -> None:
        """Removes records of runs that ended before a time in seconds since 1970, and queues of processes that began
        before it, except `queue`.
        """
        async with database.lease() as conn:
            while await conn.fetchval(dbos_tables.FORGET, dbos_tables.RUN, int(before * 1000), MOST) == MOST:
                pass
            await conn.execute(dbos_tables.FORGET_QUEUES, queue, int(before))
