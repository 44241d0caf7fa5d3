"""The two locks on a tenant's rows, each opened while the other is tried: the kernel's door and row-level security.

And what the door keeps from some callers of the tenant itself.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import asyncpg
from sqlalchemy import and_, select
from sqlmodel import SQLModel

from models.base import TenantRow, table_of
from resolvers.kernel.admission import entities, subject
from resolvers.kernel.declarations import operation
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.query import QueryScope
from resolvers.kernel.reader import EVERYONE, Rows, build
from resolvers.kernel.reader.graph import ACCESS, Visible, access_of
from resolvers.kernel.reader.visibility import Scope
from resolvers.kernel.store import statements
from resolvers.kernel.writing import finish
from resolvers.kernel.writing.context import Context

LOCKS = ("the door alone", "row security alone")


class NoTenant:
    """No table is one of these."""


def _select(self: QueryScope, model: type[SQLModel]) -> Rows[Any]:
    return Rows(model)


def _table(self: QueryScope, model: type[SQLModel]) -> Any:
    table = table_of(model)
    made = select(table)
    if "deleted_at" in table.c:
        made = made.where(table.c.deleted_at.is_(None))
    return made.correlate(*self._outer).subquery()


def _live(table: Any, model: type[SQLModel], *, including_deleted: bool = False) -> list[Any]:
    return [] if including_deleted or "deleted_at" not in table.c else [table.c.deleted_at.is_(None)]


def _live_row(model: type[SQLModel], table: Any, scope: Scope, deleted: bool = False) -> list[Any]:
    return [] if deleted else _live(table, model)


DOOR = Context._door


def _door(self: Context, model: type[SQLModel], *given: Any) -> list[Any]:
    conditions = DOOR(self, model, *given)
    return conditions[1:] if issubclass(model, TenantRow) else conditions  # the workspace comes first


def _beside(self: Scope, model: type[SQLModel], row: Any, *, including_deleted: bool = False) -> tuple[Any, list[Any]]:
    other = table_of(model).alias()
    return other, [] if including_deleted else _live(other, model)


def forget_statements() -> None:
    """Forgets compiled statements, so that they are compiled again."""
    statements._COMPILED.clear()
    operation._gates.clear()
    finish._ALONE.clear()
    for op in OPERATIONS.values():
        op.plans.clear()
    entities.readers_of_kinds.cache_clear()
    entities._kinds_by_roles.cache_clear()


@contextlib.contextmanager
def taken_out() -> Iterator[None]:
    """No statement of the kernel names the workspace any more."""
    places: list[tuple[Any, str, Any]] = [
        (QueryScope, "select", _select),
        (QueryScope, "table", _table),
        (Scope, "beside", _beside),
        (statements, "scoped", _live),
        (subject, "_live", _live_row),
        (Context, "_door", _door),
        (build, "TenantRow", NoTenant),  # edges
    ]
    before = [(place, name, getattr(place, name)) for place, name, _ in places]
    for place, name, value in places:
        setattr(place, name, value)
    forget_statements()
    try:
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
        forget_statements()


@contextlib.contextmanager
def visible(model: type[SQLModel], condition: Visible) -> Iterator[None]:
    """Also shows the caller those rows of a model for which the condition is true."""
    before = access_of(model)
    both = (
        condition
        if before.visible is EVERYONE
        else lambda row, scope: and_(before.visible(row, scope), condition(row, scope))
    )
    ACCESS[model] = replace(before, visible=both)
    forget_statements()
    try:
        yield
    finally:
        ACCESS[model] = before
        forget_statements()


@contextlib.asynccontextmanager
async def row_security_off(superuser: "asyncpg.Connection[asyncpg.Record]") -> AsyncIterator[None]:
    """The policies are there, and no table looks at them."""
    tables = [
        row[0]
        for row in await superuser.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND rowsecurity")
    ]
    assert tables
    for table in tables:
        await superuser.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY")
    try:
        yield
    finally:
        for table in tables:
            await superuser.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
