"""The common parts of tables: ids, tenancy, soft deletion, versions, and the names of constraints."""

import os
from collections.abc import Callable, Mapping, Set
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Literal, cast

from pydantic import ConfigDict
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy import Table as SQLTable
from sqlalchemy import column as named_column
from sqlalchemy import table as named_table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import FromClause, TableClause
from sqlmodel import AutoString, Field, SQLModel

from models.attributes import Declared
from models.bounds import ID
from models.personal_data import HOLDS, Holds, of_column
from models.sealed import MARK, SEAL, Sealed, SealedBytes

# A constraint's name is part of the program: the kernel turns a violation into a refusal by it.
SQLModel.metadata.naming_convention = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
).naming_convention

_drawn: list[str] = []
os.register_at_fork(after_in_child=_drawn.clear)


def new_id() -> str:
    """A cuid of 25 characters: `c` and 24 hexadecimal digits of a random number (contract: formats.id).

    The system is asked for 256 of them at a time: a call for each was 3 % of a small write.
    """
    while True:
        try:
            return "c" + _drawn.pop()
        except IndexError:
            digits = os.urandom(12 * 256).hex()
            _drawn.extend(digits[at : at + 24] for at in range(0, len(digits), 24))


def time_field(**options: Any) -> Any:
    """A timestamptz column."""
    return Field(sa_type=cast(Any, DateTime(timezone=True)), **options)


CHOICES = "choices"  # in a column's info: the closed set of its values
MOST = "most"  # in a column's info: bytes of JSON and of binary
BYTES_A_CHARACTER = 4  # in UTF-8


def text_field(most: int, *, holds: Holds | None = None, collation: Literal["C"] | None = None, **options: Any) -> Any:
    """A text column of at most `most` characters: a varchar(most), whose limit costs a write nothing. `collation`: C
    for texts that are compared byte by byte. `holds`: the personal data in it; a reference declares it by itself.
    """
    return _told(cast(Any, String(most, collation)), {} if holds is None else {HOLDS: holds}, options)


FREE = "free"  # in a column's info
"""No check holds the column: PostgreSQL parses the checks of a table with each statement that writes it, and a command
writes this one with every change. The kernel holds such columns to what they declare.
"""


def json_field(most: int, *, holds: Holds, free: bool = False, **options: Any) -> Any:
    """A jsonb column of at most `most` bytes, as PostgreSQL keeps them."""
    return _told(JSONB, {MOST: most, HOLDS: holds, FREE: free}, options)


def bytes_field(most: int, *, holds: Holds, free: bool = False, **options: Any) -> Any:
    """A bytea column of at most `most` bytes."""
    return _told(LargeBinary, {MOST: most, HOLDS: holds, FREE: free}, options)


def secret_field(most: int, **options: Any) -> Any:
    """A column for a secret text of at most `most` characters, as a vault has sealed it: `token: Sealed | None =
    secret_field(PROMPT)`.

    It is written and loaded as `Sealed`. No shape, edge, derived value, filter or order can name it.
    """
    return _told(SealedBytes, {MOST: BYTES_A_CHARACTER * most + SEAL}, options)


def enum_field(choices: type[StrEnum] | StrEnum, *, free: bool = False, **options: Any) -> Any:
    """A text column of a closed set, which the database holds it to; a row that is loaded has the set's members. Given
    a member, that is the default.
    """
    if not isinstance(choices, type):
        choices, options = type(choices), options | {"default": choices}
    column = options.pop("sa_column_kwargs", {}) | {"info": {CHOICES: choices, FREE: free}}
    return Field(sa_type=cast(Any, Text), sa_column_kwargs=column, **options)


def stored_at(clock: str = "now()", **options: Any) -> Any:
    """The time at which the row was stored, by PostgreSQL's clock, which all processes share; None before that.

    `now()` is the beginning of the transaction; `clock_timestamp()` advances within it, so that rows written one after
    the other under a lock have times in the same order.
    """
    return time_field(default=None, nullable=False, sa_column_kwargs={"server_default": text(clock)}, **options)


PARTITION = "partition"  # in a table's info: the span of each of its partitions
PARTED_BY = "created_at"
DAYS, NOTE = "days", "note"  # in it, too


def partitioned(
    span: Literal["day", "week", "month"], *, days: str | None = None, note: str | None = None
) -> dict[str, Any]:
    """The end of the arguments of a table that grows without limit: rows expire with the partition of their time, by
    PARTED_BY, which must be a part of the key. See ADR 54.

    `days`: the setting for how many days they are kept; None if something else drops partitions. `note`: the statement
    that records dropped rows ($1: the end of the last partition).
    """
    return {"postgresql_partition_by": f"RANGE ({PARTED_BY})", "info": {PARTITION: span, DAYS: days, NOTE: note}}


def _told(kind: Any, info: dict[str, Any], options: dict[str, Any]) -> Any:
    """A column of that type with this info."""
    column = options.pop("sa_column_kwargs", {})
    column |= {"info": column.get("info", {}) | info}
    return Field(sa_type=kind, sa_column_kwargs=column, **options)


Defaults = tuple[dict[str, Any], list[tuple[str, Any]], tuple[str, ...]]
_DEFAULTS: dict[type, Defaults] = {}


def _defaults(model: type[SQLModel]) -> Defaults:
    """Values, factories of values, and the columns of secrets."""
    made_there = {column.name for column in table_of(model).c if column.server_default is not None}
    fields = [
        (name, field)
        for name, field in model.model_fields.items()
        if name not in made_there or field.default is not None
    ]
    plain = {n: f.default for n, f in fields if f.default_factory is None and not f.is_required()}
    return plain, [(n, f.default_factory) for n, f in fields if f.default_factory is not None], secrets_of(model)


UNVALIDATED: Any = ConfigDict(defer_build=True)


class Row(SQLModel, metaclass=Declared):
    """A table object as a plain value: nothing tracks it.

    SQLModel's own __init__ inspects the signature of every default factory: ten times the cost of this one, on every
    insert. Nothing validates it either, so that no validator is built.
    """

    # Sealed, which no other model may have
    model_config = cast(Any, ConfigDict(defer_build=True, arbitrary_types_allowed=True))

    def __init__(self, **values: Any) -> None:
        model = type(self)
        known = _DEFAULTS.get(model)
        if known is None:
            known = _DEFAULTS[model] = _defaults(model)
        plain, factories, secrets = known
        made = self.__dict__
        made.update(plain)
        for name, factory in factories:
            if name not in values:
                made[name] = factory()
        made.update(values)
        if secrets:
            only_sealed(model, made)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value


def classes_of_tables(below: type[Row] = Row) -> list[type[Row]]:
    """All classes of tables, by the names of their tables."""
    found, left = set[type[Row]](), [below]
    while left:
        left += left.pop().__subclasses__()
        found.update(model for model in left if "__table__" in vars(model))
    return sorted(found, key=lambda model: table_of(model).name)


def free_id(made: Callable[[], str] = new_id, most: int = ID) -> Any:
    """A key that no check holds to letters and digits: clients choose it, or the table is written with every change."""
    return text_field(most, default_factory=made, primary_key=True, sa_column_kwargs={"info": {FREE: True}})


class Table(Row):
    """A table with a cuid key."""

    id: str = text_field(ID, default_factory=new_id, primary_key=True)


PLACES = ("workspace_id", "from_workspace_id")
"""Columns with the workspace that a row belongs to or came from."""


def place_in(table: SQLTable) -> str | None:
    """The name of that column; None if there is none."""
    return next((name for name in PLACES if name in table.c), None)


class TenantRow(Row):
    """A row that belongs to one workspace: reached through the kernel's context only, and under row-level security."""

    # the kernel sets it on insert
    workspace_id: str = Field(default="", foreign_key="workspaces.id", ondelete="CASCADE")


def free_place() -> Any:
    """The workspace of a row that every change writes, without a reference, which would lock the workspace's row for
    each. The gate has found the workspace; a trigger removes the rows of one that is removed.
    """
    return Field(default="", sa_type=cast(Any, Text), sa_column_kwargs={"info": {MOST: ID, FREE: True}})


def tenant_id() -> Any:
    """The workspace as a part of the key: what clients name by ids of their choice is theirs, no other workspace's."""
    return Field(default="", foreign_key="workspaces.id", ondelete="CASCADE", primary_key=True)


class TenantTable(Table, TenantRow):
    """The rows of a workspace that have a cuid key."""


class OwnedTable(Table):
    """Rows of a person in a workspace. An operation outside workspaces reads and writes the caller's own rows in all of
    them. The `visible` of the model's graph declares this, and row-level security enforces it.
    """

    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    workspace_id: str = Field(foreign_key="workspaces.id", ondelete="CASCADE")


class SoftDelete(SQLModel):
    """A deleted row stays, and disappears from every read (contract: formats.soft_delete)."""

    model_config = UNVALIDATED
    deleted_at: datetime | None = time_field(default=None)


class Versioned(SQLModel):
    """A row whose version rises with every edit; `If-Match` and `ifVersion` compare it."""

    model_config = UNVALIDATED
    version: int = 1


class Timestamps(SQLModel):
    """The times of creation and last change; the kernel sets `updated_at` with every edit."""

    model_config = UNVALIDATED
    created_at: datetime = stored_at()
    updated_at: datetime = stored_at()


@cache
def bookkeeping_of(model: type[SQLModel]) -> frozenset[str]:
    """Columns in a model's `__bookkeeping__`, which the service maintains. A change of only these is not an edit."""
    columns: frozenset[str] = getattr(model, "__bookkeeping__", frozenset())
    if not columns <= set(table_of(model).c.keys()):
        raise TypeError(f"{model.__name__} has no column {', '.join(sorted(columns - set(table_of(model).c.keys())))}")
    return columns


@cache
def untimed_of(model: type[SQLModel]) -> frozenset[str]:
    """Columns in a model's `__untimed__`. A change of only these is an edit that leaves `updated_at`."""
    columns: frozenset[str] = getattr(model, "__untimed__", frozenset())
    if not columns <= set(table_of(model).c.keys()):
        raise TypeError(f"{model.__name__} has no column {', '.join(sorted(columns - set(table_of(model).c.keys())))}")
    return columns


def table_of(model: type[SQLModel]) -> SQLTable:
    return cast(SQLTable, model.__table__)  # type: ignore[attr-defined]


@cache
def _named_columns(table: SQLTable) -> TableClause:
    return named_table(table.name, *[named_column(column.name, column.type) for column in table.c])


def alias_of(model: type[SQLModel], name: str | None = None) -> FromClause:
    """An alias of the model's table whose columns are names and types alone: SQLAlchemy copies what else a column of a
    table is, its keys and constraints, for each alias, which was a third of the time to build a statement.
    """
    return _named_columns(table_of(model)).alias(name)


def stored_of(column: Any) -> Column[Any] | None:
    """Returns the column of a table that a column of an alias or of a subquery passes on, or None."""
    for base in column.base_columns:
        if isinstance(base, Column):
            return base
        if isinstance(table := getattr(base, "table", None), TableClause):
            stored: Column[Any] = SQLModel.metadata.tables[table.name].c[base.name]
            return stored
    return None


@cache
def readable(model: type[SQLModel]) -> dict[str, Column[Any]]:
    """The columns that may be shown and queried: all but secrets."""
    return {name: column for name, column in table_of(model).c.items() if not isinstance(column.type, SealedBytes)}


@cache
def secrets_of(model: type[SQLModel]) -> tuple[str, ...]:
    """The columns of secrets."""
    return tuple([column.name for column in table_of(model).c if isinstance(column.type, SealedBytes)])


def only_sealed(model: type[SQLModel], values: Mapping[str, Any]) -> None:
    """Refuses unsealed values for secret columns: plain text is a TypeError that does not show it."""
    for name in secrets_of(model):
        if not isinstance(values.get(name), Sealed | None):
            raise TypeError(f"{model.__name__}.{name} holds secrets: it takes what a vault has sealed")


def unique_live(table: str, *columns: str) -> Index:
    """Unique among rows that are not soft-deleted; named like a unique constraint."""
    return Index(f"{table}_{'_'.join(columns)}_key", *columns, unique=True, postgresql_where=text("deleted_at IS NULL"))


SIZE = "size"  # the name of the check that holds a table's JSON and binary columns to their bounds
ENDLESS = (String, AutoString, JSON, LargeBinary)
NOBODYS = (BigInteger, Boolean, Date, DateTime, Float, Integer)
PLAIN = "plain"  # in a check's info: the column it holds to letters that JSON need not escape


@event.listens_for(Column, "after_parent_attach")
def _hold_choices(column: Column[Any], table: Any) -> None:
    """A closed set, held by the database too."""
    if CHOICES in column.info and not column.info[FREE] and isinstance(table, SQLTable):
        values = ", ".join(f"'{choice.value}'" for choice in column.info[CHOICES])
        table.append_constraint(
            CheckConstraint(f"{column.name} IN ({values})", name=column.name, info={PLAIN: column.name})
        )


@event.listens_for(Column, "after_parent_attach")
def _hold_seals(column: Column[Any], table: Any) -> None:
    """A check that a secret column contains sealed values, for every writer."""
    if isinstance(column.type, SealedBytes) and isinstance(table, SQLTable):
        rule = f"substring({column.name} FROM 1 FOR 1) = '\\x{MARK.hex()}'::bytea"
        table.append_constraint(CheckConstraint(rule, name=column.name))


@cache
def enums_of(model: type[SQLModel]) -> tuple[tuple[str, dict[str | None, StrEnum | None]], ...]:
    """The columns of closed sets, and their members by stored value."""
    sets = [(column.name, column.info[CHOICES]) for column in table_of(model).c if CHOICES in column.info]
    return tuple([(name, {None: None} | {choice.value: choice for choice in choices}) for name, choices in sets])


@event.listens_for(Column, "after_parent_attach")
def _hold_ids(column: Column[Any], table: Any) -> None:
    """A check that ids consist of letters and digits, for every writer: answers insert them unescaped."""
    if (
        column.name == "id"
        and isinstance(table, SQLTable)
        and not isinstance(column.type, Integer)
        and FREE not in column.info
    ):
        table.append_constraint(CheckConstraint("id ~ '^[A-Za-z0-9_-]+$'", name="id", info={PLAIN: "id"}))


@event.listens_for(SQLTable, "after_parent_attach")
def _hold_sizes(table: SQLTable, metadata: Any) -> None:
    """Everything of any length has a bound. A text's is its type; JSON and binary have one check for all: a statement
    reads every check anew.
    """
    if metadata is not SQLModel.metadata:  # Alembic has a table of its own
        return
    referring = {column for key in table.foreign_key_constraints for column in key.columns}
    columns: dict[int, list[str]] = {}
    for column in table.columns:
        if MOST in column.info:
            function = "pg_column_size" if isinstance(column.type, JSONB) else "octet_length"
            if not column.info.get(FREE):
                columns.setdefault(column.info[MOST], []).append(f"{function}({column.name})")
        elif isinstance(column.type, ENDLESS) and _length(column) is None and not _is_held_otherwise(column, referring):
            raise TypeError(
                f"{table.name}.{column.name} has no bound: declare it with text_field, json_field or bytes_field"
            )
        if _needs_a_word(column, referring):
            raise TypeError(
                f"{table.name}.{column.name} does not say what it holds of a person: holds=MENTIONS, or another of"
                " models/personal_data.py"
            )
    if columns:
        rules = [f"{_greatest(sizes)} <= {most}" for most, sizes in columns.items()]
        table.append_constraint(CheckConstraint(" AND ".join(rules), name=SIZE))


def _needs_a_word(column: Column[Any], referring: Set[Column[Any]]) -> bool:
    """Returns true if neither the declaration nor the type nor a reference says what a column holds of a person."""
    tells = isinstance(column.type, NOBODYS) or of_column(column) is not None or _is_held_otherwise(column, referring)
    return not tells and column.name not in ("id", "workspace_id")


def _length(column: Column[Any]) -> int | None:
    """The length of a varchar(n)."""
    return (
        column.type.length
        if isinstance(column.type, String | AutoString) and not isinstance(column.type, Text)
        else None
    )


def _is_held_otherwise(column: Column[Any], referring: Set[Column[Any]]) -> bool:
    """Returns true if a reference or a closed set limits the column."""
    return CHOICES in column.info or column in referring


def _greatest(sizes: list[str]) -> str:
    """Nulls are left out. It costs half of what a comparison for each column does."""
    return sizes[0] if len(sizes) == 1 else f"GREATEST({', '.join(sizes)})"


def most_characters(column: Column[Any], _asked: tuple[Column[Any], ...] = ()) -> int | None:
    """The maximum length of a text: by its own declaration, as one of a closed set, or as a key that it refers to.
    None: not a text, or unbounded.
    """
    if not isinstance(column.type, String | AutoString):
        return None
    own = _length(column)
    if own is not None:
        return own
    if CHOICES in column.info:
        return max(map(len, column.info[CHOICES]))
    if MOST in column.info:
        return cast(int, column.info[MOST])
    for reference in column.table.foreign_key_constraints:
        for key in reference.elements:
            known = None
            # a row may refer to its own table, in its workspace
            if key.parent is column and not any(key.column is asked for asked in (column, *_asked)):
                known = most_characters(key.column, (column, *_asked))
            if known is not None:
                return known
    return None


def most_bytes(column: Column[Any]) -> int | None:
    """The maximum size in bytes of a stored text, JSON or binary value; None for other types, and without a
    declaration.
    """
    if isinstance(column.type, JSONB | LargeBinary):
        return column.info.get(MOST)
    characters = most_characters(column)
    return None if characters is None else characters * BYTES_A_CHARACTER


def tenant_key() -> UniqueConstraint:
    """The key that `belongs_to` of another table refers to."""
    return UniqueConstraint("workspace_id", "id")


def belongs_to(column: str, table: str, **options: Any) -> ForeignKeyConstraint:
    """A reference that cannot leave the workspace: (workspace_id, column) -> table(workspace_id, id)."""
    return ForeignKeyConstraint(["workspace_id", column], [f"{table}.workspace_id", f"{table}.id"], **options)
