"""Liveness of processes, by a lock that ends with its session, and the return of jobs and ticks of dead ones.

No process recovers another's jobs by itself. So each process holds the advisory lock of its name on a connection of its
own, and looks for names that hold jobs but no lock. It looks twice, because after a restart of the database no process
holds a lock for a moment.

If the answer to a claim is lost with its connection, the claim may have been written: then this process holds jobs that
it does not know of, and returns them.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from prometheus_client import Gauge

from models.connections import open_connection
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.declarations.jobs import TIMER, Job
from resolvers.kernel.ground.silence import CONNECTING, LIMIT, noticed
from resolvers.kernel.store.across import ALL_ROWS
from resolvers.kernel.store.bus import ANYTHING, Topic, bus
from runtime.engine import dbos_tables
from runtime.engine.clocks import Ticker

STEPS_KEPT = 30 * 86400.0  # seconds, and for as long as their job has not ended
PORTION = 1000  # records that one statement removes
GATHER = 0.05  # seconds a look waits after a ring, for what is rung at the same time
MOMENT = 0.01  # seconds after its end at which a timer is looked for
Begin = Callable[[Sequence[str], bool], Awaitable[None]]

COUNT = Gauge(
    "crewship_jobs",
    "Background jobs and clocks of all processes that wait (ENQUEUED, DELAYED), run (PENDING) or were given up",
    ["job", "status"],
)
OLDEST = Gauge(
    "crewship_jobs_oldest_seconds", "How long the oldest background job or tick that could begin has waited", ["job"]
)
FAILING = Gauge("crewship_jobs_failing", "1 while this process cannot carry out background jobs, as it should")


def new_executor() -> str:
    """The name under which this process holds jobs and ticks."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds."""

    sweep: float = 5.0
    again: float = 2.0
    """Between looks while a job waits that could not begin, as of a queue that is full or may begin no more for now."""
    patience: float = 10.0
    """The time after which the jobs of a process that seems dead are returned."""
    measure: float = 30.0
    forget: float = 3600.0
    retry: float = 1.0


class Liveness:
    """The liveness of this process, under its name as an executor. Each look is one statement: it finds due ticks for
    `ticker`, and jobs that could begin.

    `begin` is called with the names of these when the lock is held, and whether timers have ended: the engine takes
    memory and connections, which an instance without jobs saves; None in a process without jobs. `busy`: the ids of the
    engine's work.
    """

    def __init__(
        self,
        dsn: str,
        executor: str,
        jobs: list[Job[Any]],
        ticker: Ticker,
        begin: Begin | None = None,
        busy: Callable[[], list[str]] = list,
        rhythm: Rhythm | None = None,
    ) -> None:
        self._dsn, self._executor, self._jobs, self._ticker = dsn, executor, jobs, ticker
        self._names = [job.name for job in jobs]
        self._begin, self._busy, self._rhythm = begin, busy, rhythm or Rhythm()
        self._conn: asyncpg.Connection[asyncpg.Record] | None = None
        self._dead: dict[str, float] = {}  # since when each was seen without its lock
        self._lost: dict[str, float] = {}  # since when each was seen held here, and not carried out
        self._due: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._carries, self._begun = begin is not None, False
        self._failing = False
        self._rung = asyncio.Event()

    def start(self) -> None:
        self._off = bus.on(Topic.jobs, self._hear)
        self._task = asyncio.create_task(self._live())

    def _hear(self, key: str) -> None:
        """Once the engine runs, it receives notifications of jobs itself, except of timers."""
        if self._carries and (not self._begun or key in (TIMER, ANYTHING)):
            self._rung.set()

    async def stop(self) -> None:
        """Stops looking; the lock is held until `leave`."""
        self._fails(False)
        if self._task is not None:
            self._off()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def leave(self) -> None:
        """Returns the work of this process to the queue; then releases the lock."""
        conn, self._conn = self._conn, None
        if conn is None:
            return
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # else the others find out
            await conn.execute(dbos_tables.HAND_BACK, self._executor)
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await conn.close(timeout=1)

    async def _live(self) -> None:
        while True:
            try:
                await self._hold()
                while True:
                    self._rung.clear()
                    await self._wait(await self._look())
            except Exception as error:
                if not self._failing:
                    log.warning("no background jobs are carried out", error=type(error).__name__)
                self._fails(True)
                if isinstance(error, TimeoutError) and self._conn is not None:
                    self._conn.terminate()  # the connection is dead, and its lock goes with it
            await asyncio.sleep(self._rhythm.retry)

    async def _hold(self) -> None:
        """The lock, on a connection that sees the steps of all workspaces."""
        if self._conn is not None and not self._conn.is_closed():
            return
        named = {"application_name": "crewship-jobs", "crewship.workspaces": ALL_ROWS}
        conn = await open_connection(self._dsn, timeout=CONNECTING, command_timeout=LIMIT, server_settings=named)
        try:
            noticed(conn)
            await conn.execute(dbos_tables.SESSION)
            await conn.execute(dbos_tables.HOLD, self._executor)
        except BaseException:
            conn.terminate()  # without the lock it is of no use
            raise
        self._conn = conn

    async def _wait(self, seconds: float) -> None:
        """Until the next look. A job that comes meanwhile waits for that no longer than it takes to begin."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()
                await asyncio.sleep(GATHER)

    async def _look(self) -> float:
        """Seconds until the next one."""
        conn = self._conn
        assert conn is not None
        await self._ticker.wind(conn)
        busy, asked = [*self._busy(), *self._ticker.busy()], instance.clock.source()
        found = await conn.fetchrow(
            dbos_tables.look(self._ticker.conditions),
            self._executor,
            busy,
            self._ticker.free(),
            self._names if self._carries else [],
        )
        assert found is not None
        if instance.clock.follow(found["at"], asked, instance.clock.source()):
            log.warning("this host takes the time of the database", ahead=round(instance.clock.ahead, 1))
        await self._hand_over(conn, found["dead"])
        await self._hand_back_lost(conn, found["lost"])
        if found["ticks"]:
            await self._ticker.claim(conn)
        wait = self._rhythm.sweep
        if self._begin is not None:
            wait = await self._look_for_jobs(self._begin, found["jobs"], found["next"])
        if self._is_due("measure", self._rhythm.measure):
            await self._measure(conn)
        if self._is_due("forget", self._rhythm.forget):
            await self._forget(conn)
        if self._failing:
            log.info("background jobs run again")
            self._fails(False)
        return wait

    async def _look_for_jobs(self, begin: Begin, jobs: Sequence[str], next: int | None) -> float:
        wait, ripe = self._rhythm.sweep, next is not None and next <= 0
        if jobs or ripe:
            await begin(jobs, ripe)
            self._begun = True
            wait = min(wait, self._rhythm.again)
        if next is not None and not ripe:
            wait = min(wait, next / 1000 + MOMENT)
        return wait

    def _fails(self, failing: bool) -> None:
        """Reports that this process cannot execute its background jobs: readiness shows it, and a metric."""
        if self._carries and failing != self._failing:
            FAILING.set(failing)
            instance.jobs_failing_since = time.monotonic() if failing else None
        self._failing = failing

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        due = self._due.get(what, now) <= now
        if due:
            self._due[what] = now + every
        return due

    async def _hand_over(self, conn: "asyncpg.Connection[asyncpg.Record]", dead: Sequence[str]) -> None:
        now = time.monotonic()
        self._dead = {id: self._dead.get(id, now) for id in dead}
        buried = [id for id, since in self._dead.items() if now - since >= self._rhythm.patience]
        if buried:
            done = await conn.execute(dbos_tables.HAND_OVER, buried)
            log.warning(
                "jobs of dead processes were returned to the queue", jobs=int(done.split()[-1]), processes=len(buried)
            )

    async def _hand_back_lost(self, conn: "asyncpg.Connection[asyncpg.Record]", held: Sequence[str]) -> None:
        now = time.monotonic()
        self._lost = {id: self._lost.get(id, now) for id in held}
        lost = [id for id, since in self._lost.items() if now - since >= self._rhythm.patience]
        if lost:
            await conn.execute(dbos_tables.HAND_BACK_LOST, self._executor, lost)
            log.warning("jobs with an unanswered claim were returned to the queue", jobs=len(lost))

    async def _measure(self, conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        COUNT.clear()
        OLDEST.clear()
        for name in [*self._names, *self._ticker.names]:
            OLDEST.labels(name).set(0)
        for name, status, count, age in await conn.fetch(dbos_tables.state(self._ticker.conditions), self._names):
            COUNT.labels(name, status).set(count)
            if status == "ENQUEUED":
                OLDEST.labels(name).set(max(age, 0))

    async def _forget(self, conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        for job in self._jobs:
            before = int((time.time() - job.keep.total_seconds()) * 1000)
            while await conn.fetchval(dbos_tables.FORGET, job.name, before, PORTION) == PORTION:
                pass
        await conn.execute(dbos_tables.FORGET_STEPS, STEPS_KEPT)
