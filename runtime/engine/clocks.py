"""The execution of clocks: the ticks that this process has claimed, and one wrapper around every body.

It does not need the library of the jobs: an instance without jobs has clocks and does not load it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

import asyncpg

from resolvers.domains import modules_in
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import CLOCKS, AcrossWorkspaces, Fence, Recurring, across_workspaces
from resolvers.kernel.background.steps import Gone
from resolvers.kernel.store.database import database
from runtime.engine import dbos_tables
from runtime.engine.background import ENDINGS, GRACE, taken

T = TypeVar("T")
WIND = 3600.0  # seconds between two looks at which clocks there are


class Tick:
    """The argument of a clock's body."""

    def __init__(self, id: str, executor: str) -> None:
        self._fence = Fence(dbos_tables.TICKS, (id, executor))

    @property
    def now(self) -> datetime:
        return instance.clock.now()

    async def write(self, change: Callable[[AcrossWorkspaces], Awaitable[T]]) -> T:
        """One transaction across all workspaces: rows, and the jobs that are enqueued with them. It writes nothing if
        another process holds the tick.

        An interrupted tick starts over: committed work must no longer be due.
        """
        return await across_workspaces(change, self._fence)


Body = Callable[[Tick], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ticking:
    clock: Recurring
    body: Body
    here: Callable[[], bool] | None = None


TICKING: dict[str, Ticking] = {}


def ticks(clock: Recurring, *, here: Callable[[], bool] | None = None) -> Callable[[Body], Body]:
    """Declares the body of a clock. `here`: whether this process, once it has started, can do anything at a tick."""

    def bind(body: Body) -> Body:
        if clock.name in TICKING:
            raise RuntimeError(f"{clock.name} has two bodies")
        TICKING[clock.name] = Ticking(clock, body, here)
        return body

    return bind


def ticking() -> tuple[Ticking, ...]:
    """Every declared clock with its body, which is in the module of the domain's jobs."""
    modules_in("runtime")
    if strays := CLOCKS.keys() ^ TICKING.keys():
        raise RuntimeError(f"clocks without a body, or bodies without a clock: {', '.join(sorted(strays))}")
    return tuple(TICKING.values())


class Ticker:
    """Executes the ticks that this process claims, until it is stopped. Liveness looks for them."""

    def __init__(self, clocks: tuple[Ticking, ...], executor: str) -> None:
        self._clocks = {dbos_tables.CLOCK + each.clock.name: each for each in clocks}
        self._executor = executor
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wind_at = 0.0
        self._stopping = False

    @property
    def names(self) -> list[str]:
        return [each.clock.name for each in self._clocks.values()]

    def busy(self) -> list[str]:
        """The ids of the ticks that run in this process."""
        return list(self._tasks)

    @cached_property
    def conditions(self) -> Mapping[str, str]:
        """SQL that says whether there is something to do, of the clocks that tick only then."""
        found = {id: each.clock.when for id, each in self._clocks.items()}
        idle = {id: "false" for id, each in self._clocks.items() if each.here is not None and not each.here()}
        return {id: f"({when})" for id, when in (found | idle).items() if when is not None}

    def free(self) -> list[str]:
        """The ids of clocks without a tick here: a clock that ticks in this process is not claimed again, regardless of
        its record.
        """
        return [id for id in self._clocks if id not in self._tasks]

    async def wind(self, conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        if time.monotonic() >= self._wind_at:
            await self._wind(conn)

    async def claim(self, conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Begins the ticks that are due."""
        free = {id: _milliseconds(self._clocks[id].clock.every) for id in self.free()}
        sql = dbos_tables.claim(self.conditions)
        for (id,) in await conn.fetch(sql, self._executor, list(free), list(free.values())):
            self._tasks[id] = asyncio.create_task(self._carry(id))

    async def _wind(self, conn: "asyncpg.Connection[asyncpg.Record]") -> None:
        """New clocks tick at once, those that tick more often than before do so from now on, others go."""
        ids, every = list(self._clocks), [_milliseconds(each.clock.every) for each in self._clocks.values()]
        await conn.execute(dbos_tables.WIND, self.names)
        await conn.execute(dbos_tables.SOONER, ids, every)
        await conn.execute(dbos_tables.UNWIND, ids)
        self._wind_at = time.monotonic() + WIND

    async def stop(self) -> None:
        """Stops all bodies where they are."""
        self._stopping = True
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=GRACE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, id: str) -> None:
        this = self._clocks[id]
        try:
            ENDINGS.labels(this.clock.name, await self._ending(id, this)).inc()
            await taken(lambda: self._end(id))
        except Exception as error:  # Liveness finds it held and not carried out
            log.warning("clock not wound up", clock=this.clock.name, error=type(error).__name__)
        finally:
            del self._tasks[id]

    async def _ending(self, id: str, this: Ticking) -> str:
        try:
            if this.here is None or this.here():  # the first tick of a clock is claimed everywhere
                await this.body(Tick(id, self._executor))
        except Gone:
            return "gone"
        except asyncio.CancelledError as error:
            if self._stopping:
                raise
            failure: BaseException = error
        except Exception as error:
            failure = error
        else:
            return "done"
        log.warning("clock failed; the next tick follows", clock=this.clock.name, exc_info=failure)
        return "failed"

    async def _end(self, id: str) -> None:
        async with database.lease() as conn:
            await conn.execute(dbos_tables.END, id, self._executor)


def _milliseconds(every: timedelta) -> int:
    return int(every.total_seconds() * 1000)
