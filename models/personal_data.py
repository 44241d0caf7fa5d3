"""Personal data and secrets in columns: exports, erasures and logs follow these declarations, each in the column's own
field.

A foreign key to `users` declares it by its action: CASCADE, and the row is the person's; SET NULL, and the person acted
on another row. Closed sets, numbers, times, switches and other references need no declaration, and a column of secrets
is never exported. Every other column declares it: `name: str = text_field(LABEL, holds=MENTIONS)`. A column without a
declaration is a TypeError.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import Column
from sqlalchemy import Table as SQLTable

from models.sealed import SealedBytes

HOLDS: Final = "holds"  # in a column's info
PEOPLE: Final = "users"


class Holds(StrEnum):
    """The personal content of a column; a column with `nothing` is removed with the row, if the row is a person's."""

    whose = "whose"
    """The id of the person whose row it is. The row is exported, and deleted."""
    by = "by"
    """The id of a person who did something, or to whom the row is given. The row is exported, and the id removed."""
    author = "author"
    """The same, of the person who wrote what the row mentions. Texts of agents and crews are the team's, and programs
    read them: they have no author. Of the audit log, see `resolvers/kernel/writing/persons.py`.
    """
    words = "words"
    """The person's own words: erased with the id. If columns are declared as `by`, they name the author, and the
    foreign keys do not.
    """
    mentions = "mentions"
    """A text by anyone, which may name the person. The name and the address are removed from rows that the person
    wrote, according to the author, and from no others: a name may be an ordinary word.
    """
    configuration = "configuration"
    """The same, which may hold a secret: the audit log says that it changed, and not how."""
    hidden = "hidden"
    """A secret in another form, such as its hash: never exported, and in no log."""
    nothing = "nothing"
    """No data of a person."""
    derived = "derived"
    """The same, computed from other columns: in no log, which has the change of those."""


WHOSE: Final = Holds.whose
BY: Final = Holds.by
AUTHOR: Final = Holds.author
WORDS: Final = Holds.words
MENTIONS: Final = Holds.mentions
HIDDEN: Final = Holds.hidden
CONFIGURATION: Final = Holds.configuration
NOTHING: Final = Holds.nothing
DERIVED: Final = Holds.derived
_AS: Final = {AUTHOR: "by", CONFIGURATION: "mentions", DERIVED: "nothing"}


def holding(holds: Holds) -> dict[str, Any]:
    """For a field or a column that takes no `holds`: its `sa_column_kwargs`, or arguments."""
    return {"info": {HOLDS: holds}}


class Held(NamedTuple):
    """Names of columns."""

    whose: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    nothing: tuple[str, ...] = ()


def of_column(column: Column[Any]) -> Holds | None:
    """The declaration of a column, from its type or its field; None without one."""
    return HIDDEN if isinstance(column.type, SealedBytes) else column.info.get(HOLDS)


@cache
def held_in(table: SQLTable) -> Held:
    """The declarations of a table's columns, and the foreign keys."""
    found: Mapping[str, list[str]] = {name: [] for name in Held._fields}
    keys: Mapping[str, list[str]] = {"whose": ["id"] if table.name == PEOPLE else [], "by": []}
    for column in table.columns:
        referred = [key for key in column.foreign_keys if key.target_fullname == f"{PEOPLE}.id"]
        for key in referred:
            keys["whose" if key.ondelete == "CASCADE" else "by"].append(column.name)
        if (holds := of_column(column)) is not None and not referred:
            found[_AS.get(holds, holds.value)].append(column.name)
    return Held(*[(*found[name], *keys.get(name, ())) for name in Held._fields])


@cache
def author_of(table: SQLTable) -> str | None:
    """The column with the author of texts that mention people."""
    return next((column.name for column in table.columns if of_column(column) is AUTHOR), None)
