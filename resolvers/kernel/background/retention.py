"""The retention periods of workspaces, and the removal of rows that a workspace keeps for less time than the instance.

Tables that grow without limit are partitioned, and a partition holds rows of all workspaces: the sweep drops it when
the instance's period ends. So the instance's days are the maximum for a workspace, and the rows of workspaces with
fewer days are deleted earlier: by whole days, in UTC, once a day. Each row is kept for the configured days and at most
one more.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

from models.base import PARTITION, table_of
from models.expiry import ByDay, ByIndex, Kept, saying
from models.retention import RetentionKind
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import AcrossWorkspaces, clock
from resolvers.kernel.ground.removed import REMOVED

RETAIN = clock("system.retain", every=timedelta(hours=1))
LONGEST: Final = 36_500
PORTION: Final = 5_000
DAY: Final = timedelta(days=1)
MOMENT: Final = timedelta(milliseconds=1)
Write = Callable[[Callable[[AcrossWorkspaces], Awaitable[Any]]], Awaitable[Any]]


@cache
def kinds() -> dict[RetentionKind, Kept]:
    """The declarations of the tables, by kind."""
    found = {said.kind: said for _, said in saying("__kept__")}
    return {kind: found[kind] for kind in RetentionKind}


def bounds(kind: RetentionKind) -> tuple[int, int, int]:
    """The days that a workspace may choose, least and most, and those that hold otherwise."""
    kept = kinds()[kind]
    if kept.setting is None:
        return kept.least, kept.most, kept.default
    days: int = getattr(instance.settings, kept.setting)
    return kept.least, days, days


def holds(kind: RetentionKind, own: int | None) -> int:
    """The days that hold for a workspace, with a rule of its own or without."""
    least, most, default = bounds(kind)
    if own is None:
        return default
    own = max(own, least) if own else own
    return own if most == 0 else min(own or most, most)


# Rules that have something to remove: a day has ended since, or fewer days are kept than before.
DUE = """
    SELECT workspace_id, removed_until, cut FROM (
        SELECT *, date_trunc('day', now(), 'UTC') - make_interval(days => greatest(days, $3)) AS cut
        FROM retention_rules
        WHERE kind = $1 AND days > 0 AND ($2::int = 0 OR days < $2)
    ) r WHERE removed_until IS NULL OR removed_until < cut ORDER BY workspace_id
"""
DONE = """
    UPDATE retention_rules SET removed_until = $1 WHERE kind = $2 AND workspace_id = ANY ($3::text[]) RETURNING 1
"""


# The day of the oldest row of a table, which is in the partition that ends first, or where that is empty, its end.
OLDEST = """
    WITH oldest AS MATERIALIZED (SELECT coalesce(min(until), now()) AS until FROM partitions_of('{table}'))
    SELECT date_trunc('day', coalesce(
        (SELECT min(created_at) FROM {table} WHERE created_at < (SELECT until FROM oldest)),
        (SELECT until FROM oldest)
    ), 'UTC')
"""


async def retain(write: Write) -> None:
    """One tick. A failed rule does not stop the others, and the next tick repeats it."""
    failures = []
    for removal in removals():
        try:
            await removal.carry_out(write)
        except Exception as error:
            error.add_note(f"rows: {removal.kind}")
            failures.append(error)
    if failures:
        raise ExceptionGroup("not all rows beyond the workspaces' retention were removed", failures)


async def due(write: Write, kind: RetentionKind) -> list[Any]:
    """The rules to apply, each with `cut`, the time before which rows are removed."""
    setting = kinds()[kind].setting
    most = 0 if setting is None else getattr(instance.settings, setting)
    return await write(lambda rows: rows.fetch(DUE, kind.value, most, kinds()[kind].least))  # type: ignore[no-any-return]


async def done(write: Write, kind: RetentionKind, until: datetime, workspaces: list[str]) -> None:
    await write(lambda rows: rows.fetchval(DONE, until, kind.value, workspaces))


def told(table: str, workspaces: list[str], rows: int) -> None:
    """The metric, and a line of the log."""
    if rows:
        REMOVED.labels(table, "workspace").inc(rows)
        log.info("rows beyond the workspaces' retention were removed", table=table, workspaces=workspaces, rows=rows)


@dataclass(frozen=True)
class DayByDay:
    """For all workspaces at once.

    A day is read in parts, each as large as a partition makes one expect a portion to be in, and halved where there is
    more. `beside`: further tables of the kind, whose rows go with these.
    """

    kind: RetentionKind
    table: str
    span: str
    said: ByDay
    beside: "tuple[DayByDay, ...]" = ()

    @property
    def _place(self) -> str:
        since = "created_at >= $1 AND created_at < $2"
        return f"FROM {self.table} WHERE {since} AND workspace_id = ANY ($3::text[]) AND {self.said.which}"

    async def carry_out(self, write: Write) -> None:
        days = defaultdict[datetime, list[str]](list)
        rules = await due(write, self.kind)
        if not rules:
            return
        tables = (self, *self.beside)
        first = min([await each.first(write) for each in tables])
        parts = {each: await each.parts(write) for each in tables}
        for rule in rules:
            day = rule["removed_until"] or first
            if day >= rule["cut"]:
                await done(write, self.kind, rule["cut"], [rule["workspace_id"]])
            while day < rule["cut"]:
                days[day].append(rule["workspace_id"])
                day += DAY
        for day, workspaces in sorted(days.items()):
            removed = [await each.of_day(write, day, parts[each], workspaces) for each in tables]
            await done(write, self.kind, day + DAY, workspaces)
            for each, number in zip(tables, removed, strict=True):
                told(each.table, workspaces, number)

    async def first(self, write: Write) -> datetime:
        return await write(lambda rows: rows.fetchval(OLDEST.format(table=self.table)))  # type: ignore[no-any-return]

    async def parts(self, write: Write) -> int:
        days = {"day": 1, "week": 7, "month": 30}[self.span]
        expected = f"""
            SELECT greatest(1, ceil(max(c.reltuples) / {days * 2 * PORTION}))::int
            FROM partitions_of($1) p JOIN pg_class c ON c.oid = to_regclass(quote_ident(p.name))
        """
        return await write(lambda rows: rows.fetchval(expected, self.table))  # type: ignore[no-any-return]

    async def of_day(self, write: Write, day: datetime, parts: int, workspaces: list[str]) -> int:
        removed = 0
        for number in range(parts):
            begin, end = day + number * DAY / parts, day + (number + 1) * DAY / parts
            removed += await self._between(write, begin, end, workspaces)
        return removed

    async def _between(self, write: Write, begin: datetime, end: datetime, workspaces: list[str]) -> int:
        found = await write(
            lambda rows: rows.fetchval(
                f"SELECT count(*) FROM (SELECT {self._place} LIMIT {PORTION + 1}) f", begin, end, workspaces
            )
        )
        if not found:
            return 0
        if found > PORTION and end - begin > MOMENT:
            middle = begin + (end - begin) / 2
            before = await self._between(write, begin, middle, workspaces)
            return before + await self._between(write, middle, end, workspaces)
        going = f"DELETE {self._place} RETURNING {self.said.returned}"
        gone = f"WITH gone AS ({going}){self.said.note} SELECT count(*) FROM gone"
        return await write(lambda rows: rows.fetchval(gone, begin, end, workspaces))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class OldestFirst:
    """Workspace by workspace."""

    kind: RetentionKind
    table: str
    said: ByIndex
    portion: int

    async def carry_out(self, write: Write) -> None:
        sql = f"""
            WITH old AS MATERIALIZED ({self.said.found}), {self.said.gone}
            SELECT (SELECT count(*) FROM gone) AS rows, (SELECT max(at) FROM old) AS last
        """
        for rule in await due(write, self.kind):
            place, removed, since = rule["workspace_id"], 0, None
            while True:  # from behind the portion before: what that has left of the index is not read again
                values = (place, rule["cut"], since, self.portion)
                ((gone, since),) = await write(partial(_fetched, sql, values))
                removed += gone
                if gone < self.portion:
                    break
            await done(write, self.kind, rule["cut"], [place])
            told(self.table, [place], removed)


async def _fetched(sql: str, values: tuple[Any, ...], rows: AcrossWorkspaces) -> list[Any]:
    return await rows.fetch(sql, *values)


def removals() -> Iterator[DayByDay | OldestFirst]:
    """One removal for each table that declares how its rows expire; one for all that go day by day of a kind."""
    by_day = defaultdict[RetentionKind, list[DayByDay]](list)
    for model, kept in saying("__kept__"):
        table, said = table_of(model), kept.removal
        if isinstance(said, ByDay):
            by_day[kept.kind].append(DayByDay(kept.kind, table.name, table.info[PARTITION], said))
        elif isinstance(said, ByIndex):
            yield OldestFirst(kept.kind, table.name, said, said.portion or PORTION)
    for first, *others in by_day.values():
        yield replace(first, beside=tuple(others))
