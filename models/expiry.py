"""Retention declared by tables: `__expires__` for all workspaces, `__kept__` for periods that each workspace chooses.
The kernel's sweeper and retention apply it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from models.base import Row, classes_of_tables
from models.retention import RetentionKind


class Expires:
    """Rows go when that time has passed since the moment in `column`, which has an index.

    `found`: instead, the ctids of those that go, in a statement of its own ($1: how many).
    """

    def __init__(self, column: str = "", after: timedelta = timedelta(), *, found: str | None = None) -> None:
        self.column, self.after, self.found = column, after, found

    def of(self, table: str) -> str:
        """The statement that finds a portion of the rows."""
        if self.found is not None:
            return self.found
        seconds = int(self.after.total_seconds())
        return f"SELECT ctid FROM {table} WHERE {self.column} < now() - interval '{seconds} seconds' LIMIT $1"  # noqa: S608 - constants


@dataclass(frozen=True)
class ByDay:
    """Rows of a partitioned table, which has no index of a workspace's rows by time, go by whole days.

    `which`: a condition. `note`: what is kept of those that go, a part of the statement behind `gone`, whose columns
    are `returned`.
    """

    which: str = "true"
    note: str = ""
    returned: str = "1"


@dataclass(frozen=True)
class ByIndex:
    """Rows of a table with an index of each workspace's rows by time go the oldest first.

    `found` gives a portion ($1 workspace, $2 before when, $3 from when on, $4 how many) with its `at`; `gone` removes
    those `old` rows.
    """

    found: str
    gone: str
    portion: int | None = None


@dataclass(frozen=True)
class Kept:
    """The days of a kind of rows: what holds without a rule, and what a workspace may choose. 0 is for good.

    `setting`: of the instance; it is the default, and the most that there is of it. `removal`: how the rows go; None
    where their domain removes them.
    """

    kind: RetentionKind
    least: int = 1
    most: int = 0
    default: int = 0
    setting: str | None = None
    removal: ByDay | ByIndex | None = None


def saying(attribute: str) -> Iterator[tuple[type[Row], Any]]:
    """The classes of tables that say it, and what."""
    for model in classes_of_tables():
        if (said := vars(model).get(attribute)) is not None:
            yield model, said
