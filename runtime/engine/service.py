"""The runtime as a process starts and stops it."""

import asyncio
from collections.abc import Sequence

from resolvers.instance.reminders import Reminder
from resolvers.instance.settings import Settings
from resolvers.instance.telemetry import log
from runtime.engine.attendance import Attendance
from runtime.engine.background import Carried, Carrier
from runtime.engine.clocks import Ticker, Ticking
from runtime.engine.clockwork import database_of, session_of
from runtime.engine.dbos_engine import DbosEngine
from runtime.engine.liveness import Liveness, Rhythm
from runtime.engine.supervisor import Supervisor, Timing
from runtime.runs.outfit import InstanceOutfit, Outfit

RETRY = 5.0  # seconds


class Runtime:
    """Carries out runs, `jobs` and `clocks` in this process, on the database that is open and the instance that is
    started.
    """

    def __init__(
        self,
        settings: Settings,
        outfit: Outfit | None = None,
        *,
        timing: Timing | None = None,
        jobs: tuple[Carried, ...] = (),
        clocks: tuple[Ticking, ...] = (),
        rhythm: Rhythm | None = None,
    ) -> None:
        dsn, declared = database_of(settings), [each.job for each in jobs]
        self._engine = engine = DbosEngine(dsn, declared, pooled=settings.database_direct_url is not None)
        self._carrier = Carrier(jobs, engine.executor, engine.claim)
        engine.carry = self._carrier.carry
        self._ticker = Ticker(clocks, engine.executor)
        self._liveness = (
            Liveness(session_of(settings), engine.executor, declared, self._ticker, self._begin, engine.busy, rhythm)
            if jobs or clocks
            else None
        )
        limits = {"slots": settings.max_concurrent_runs, "max_tokens": settings.run_max_tokens}
        outfit = outfit or InstanceOutfit(settings)
        self.supervisor = Supervisor(engine, outfit, timing=timing, **limits)
        self._attendance = Attendance(outfit.sandbox) if isinstance(outfit, InstanceOutfit) else None
        self._starting: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Returns at once."""
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        failure = Reminder()
        while not self._stopped:
            try:
                await self.supervisor.start()
                break
            except Exception as error:
                if failure.is_due(error):
                    log.error("runtime not started; trying again", error=type(error).__name__)
                await asyncio.sleep(RETRY)
        if self._attendance is not None and not self._stopped:
            self._attendance.start()
        if self._liveness is not None and not self._stopped:
            self._carrier.start()
            self._liveness.start()  # without a job there is no engine

    async def _begin(self, jobs: Sequence[str], ripe: bool) -> None:
        await self._engine.wake()
        if ripe:
            await self._engine.ripen()
        for name in jobs:
            self._carrier.ring(name)

    async def ready(self) -> None:
        """Until runs are claimed."""
        assert self._starting is not None
        await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """Stops, and hands live runs to other workers."""
        self._stopped = True
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._attendance is not None:
            await self._attendance.stop()
        if self._liveness is not None:
            await self._liveness.stop()
            await asyncio.gather(self._ticker.stop(), self._carrier.stop())
        await self.supervisor.stop()
        if self._liveness is not None:
            await self._liveness.leave()
