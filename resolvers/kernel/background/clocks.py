"""Clocks: recurring work, which one process at a time executes.

A clock is declared here with its interval. Its body is in `runtime/` and is found by name. A tick belongs to no
workspace: it finds work that is due, and enqueues jobs in the workspaces. See ADR 36.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import tuple_
from sqlmodel import SQLModel

from models.base import table_of
from models.bounds import LINE
from resolvers.kernel.background.steps import Gone
from resolvers.kernel.declarations.jobs import ENQUEUE, NAME, Job, Queued, in_order, rings
from resolvers.kernel.store.across import Everywhere, Within, in_live_workspaces
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import database

T = TypeVar("T")
SHORTEST = timedelta(seconds=1)
PORTION = 100
ALL_WORKSPACES = "SELECT set_config('crewship.workspaces', '*', true)"


@dataclass(frozen=True, slots=True)
class Recurring:
    """See `clock`."""

    name: str
    every: timedelta
    when: str | None = None


CLOCKS: dict[str, Recurring] = {}


def clock(name: str, *, every: timedelta, when: str | None = None) -> Recurring:
    """Declares a clock.

    `every`: the time between the beginnings of two ticks; a tick never overlaps the previous one. Ticks that were
    missed while no process was running become one. A failed tick is followed by the next.

    `when`: SQL that says whether there is anything to do, evaluated past row-level security. If it is false there is no
    tick, except one per hour. It runs every few seconds, so it must be an index lookup.
    """
    if not NAME.fullmatch(name) or len(name) > LINE / 2:
        raise TypeError(f"{name}: a clock is named domain.what_it_does")
    if every < SHORTEST:
        raise TypeError(f"{name}: at most once a second")
    if name in CLOCKS:
        raise RuntimeError(f"two clocks are named {name}")
    CLOCKS[name] = Recurring(name, every, when)
    return CLOCKS[name]


class Fence(NamedTuple):
    """A statement that finds a row for as long as the work is this process's to do."""

    sql: str
    values: Sequence[Any]


class AcrossWorkspaces:
    """A transaction of the instance, from which row-level security hides no row."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self.queued: list[Queued] = []

    @property
    def everywhere(self) -> Everywhere:
        """Words on the rows of all workspaces."""
        return Everywhere(self._conn)

    def within(self, workspace_id: str) -> Within:
        """Words on the rows of one workspace."""
        return Within(self._conn, workspace_id)

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Executes SQL that no word of the kernel can express."""
        rows: list[Any] = await self._conn.fetch(sql, *values)
        return rows

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return await self._conn.fetchval(sql, *values)

    def enqueue(self, job: Job[Any], workspace_id: str, /, *, at: datetime | None = None, **ids: str) -> None:
        """A background job of this workspace, committed with the rest or not at all."""
        self.queued.append(job.queued(workspace_id, ids, at))


async def across_workspaces(change: Callable[[AcrossWorkspaces], Awaitable[T]], fence: Fence | None = None) -> T:
    """One transaction. Raises Gone if the fence no longer holds."""
    async with database.lease() as conn, conn.transaction():
        await conn.fetchval(ALL_WORKSPACES)
        if fence is not None and await conn.fetchrow(fence.sql, *fence.values) is None:
            raise Gone
        rows = AcrossWorkspaces(conn)
        result = await change(rows)
        if rows.queued:
            await conn.executemany(ENQUEUE, in_order(rows.queued))
    for key in rings(rows.queued):
        bus.ring(Topic.jobs, key)
    return result


Write = Callable[[Callable[[AcrossWorkspaces], Awaitable[Any]]], Awaitable[Any]]


async def each_due(
    write: Write,
    now: datetime,
    model: type[SQLModel],
    at: str,
    *conditions: Any,
    columns: Sequence[str] = (),
    enqueue: Callable[[AcrossWorkspaces, Any], None],
) -> None:
    """Enqueues a job for each live row whose time in the column `at` has come, the oldest first.

    A transaction has a portion of 100 rows, and `write` makes it. `enqueue` is called with each record: `workspace_id`,
    `id`, the time and `columns`. The rows are not changed, so the jobs are `unique`, and move the time. An index of the
    time and the id serves the order. Rows of deleted workspaces are left out.
    """
    table = table_of(model)
    keys = (table.c[at], table.c.id)

    async def portion(rows: AcrossWorkspaces, last: tuple[datetime, str] | None) -> list[Any]:
        due = await rows.everywhere.select(
            model,
            *conditions,
            keys[0] <= now,
            *([] if last is None else [tuple_(*keys) > tuple_(*last)]),
            in_live_workspaces(model),
            columns=("workspace_id", "id", at, *columns),
            order_by=keys,
            limit=PORTION,
        )
        for row in due:
            enqueue(rows, row)
        return due

    due = await write(partial(portion, last=None))
    while len(due) == PORTION:
        due = await write(partial(portion, last=(due[-1][at], due[-1]["id"])))
