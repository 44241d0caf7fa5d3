"""Removes rows that have expired, as their tables declare (models/expiry.py).

It works in portions, each in its own transaction: a transaction delays the readers of the outbox while it runs, and one
that takes too long would never succeed. Audit rows, messages and runs are not removed here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlmodel import SQLModel

from models.base import DAYS, NOTE, PARTITION, classes_of_tables, table_of
from models.expiry import Expires, saying
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import AcrossWorkspaces, clock
from resolvers.kernel.background.steps import Gone
from resolvers.kernel.ground.removed import DROPPED, REMOVED
from resolvers.kernel.store.statements import removing

SWEEP = clock("system.sweep", every=timedelta(minutes=5))
PORTION = 5_000  # rows that one transaction removes
PORTIONS = 2_000  # of a rule in one tick: what is left waits for the next


AHEAD = 3  # partitions of a time that has not begun: what is stored when none was made waits for its own
EXPIRED = "SELECT max(until) FROM partitions_of($1) WHERE until <= now() - make_interval(days => $2)"


@dataclass(frozen=True)
class Rule:
    """`sql` removes one portion ($1: its size) and returns how many rows that were; of a table whose rows expire."""

    name: str
    sql: str

    @classmethod
    def of(cls, model: type[SQLModel], said: Expires) -> "Rule":
        name = table_of(model).name
        return cls(name, removing(model, said.of(name)))


@dataclass(frozen=True)
class Partitions:
    """Partitions of a `partitioned` table: creates future ones, and drops those whose rows are all older than its
    setting; drops none if another part of the service does.
    """

    model: type[SQLModel]

    @property
    def name(self) -> str:
        return table_of(self.model).name

    @property
    def days(self) -> str | None:
        return table_of(self.model).info[DAYS]  # type: ignore[no-any-return]

    async def remove(self, rows: AcrossWorkspaces) -> None:
        said = table_of(self.model).info
        await rows.fetchval("SELECT keep_partitions($1, $2, $3)", self.name, said[PARTITION], AHEAD)
        if self.days is None:
            return
        before = await rows.fetchval(EXPIRED, self.name, getattr(instance.settings, self.days))
        if before is not None:
            if said[NOTE] is not None:
                await rows.fetchval(said[NOTE], before)
            dropped = await rows.fetchval("SELECT drop_partitions($1, $2)", self.name, before)
            DROPPED.labels(self.name).inc(dropped)
            log.info("expired partitions were dropped", table=self.name, partitions=dropped)


def partitioned() -> list[Partitions]:
    """The partitions of every partitioned table."""
    return [Partitions(model) for model in classes_of_tables() if PARTITION in table_of(model).info]


def rules() -> list[Rule]:
    """The rules of every table that declares when its rows expire."""
    return [Rule.of(model, said) for model, said in saying("__expires__")]


Write = Callable[[Callable[[AcrossWorkspaces], Awaitable[Any]]], Awaitable[Any]]
"""Executes the given function in one transaction."""


async def sweep(write: Write) -> None:
    """One tick. The failure of one rule does not stop the next."""
    failures = []
    every: list[Partitions | Rule] = [*partitioned(), *rules()]
    for rule in every:
        try:
            if isinstance(rule, Partitions):
                await write(rule.remove)
            else:
                await _carry_out(write, rule)
        except Gone:
            raise
        except Exception as error:
            error.add_note(f"rows: {rule.name}")
            failures.append(error)
    if failures:
        raise ExceptionGroup("not all expired rows were removed", failures)


async def _carry_out(write: Write, rule: Rule) -> None:
    """Portions until nothing is left."""

    async def portion(rows: AcrossWorkspaces) -> Any:
        return await rows.fetchval(rule.sql, PORTION)

    removed = 0
    for _ in range(PORTIONS):
        if not (rows := await write(portion)):
            break
        removed += rows
    if removed:
        REMOVED.labels(rule.name, "instance").inc(removed)
        log.info("expired rows were removed", table=rule.name, rows=removed)
