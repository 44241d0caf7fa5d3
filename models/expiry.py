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
    """Rows expire this long after the time in `column`, which has an index.

    `found`: instead, the ctids of expired rows, by a statement of its own ($1: how many).
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
    """Rows of a partitioned table, which has no index of a workspace's rows by time, expire by whole days.

    `which`: a condition. `note`: records the removed rows, as a part of the statement after `gone`, whose columns are
    `returned`.
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
    """The days of a kind of rows: the default, and the range for a workspace. 0 is for ever.

    `setting`: the instance's, which is the default and the maximum. `removal`: how the rows are removed; None if their
    domain removes them.
    """

    kind: RetentionKind
    least: int = 1
    most: int = 0
    default: int = 0
    setting: str | None = None
    removal: ByDay | ByIndex | None = None


def saying(attribute: str) -> Iterator[tuple[type[Row], Any]]:
    """The classes of tables with this declaration, and its value."""
    for model in classes_of_tables():
        if (said := vars(model).get(attribute)) is not None:
            yield model, said
