"""The words for work in no workspace, such as a clock's, and for reads outside a call's transaction.

Row-level security hides no row from such a transaction, and only the kernel sets it aside. So the name of a word says
how far it reaches: `rows.everywhere.select(…)` reads the rows of all workspaces, `rows.within(id).select(…)` the rows
of one (see docs/kernel.md).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import and_, delete, literal_column, null, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql.elements import BinaryExpression
from sqlalchemy.sql.operators import is_not
from sqlmodel import SQLModel

from models.base import table_of
from models.people.workspaces import Workspace
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.store import statements
from resolvers.kernel.store.changes import given
from resolvers.kernel.store.database import DIALECT, database
from resolvers.kernel.store.statements import ONE

IDENTITY = ("id", "workspace_id")
CTID: Any = literal_column("ctid")


class Everywhere:
    """Live rows of all workspaces, by one statement a word. Nothing is added to the conditions; deleted rows are left
    out.

    `columns` are names or expressions; without them the id is read, and the workspace.
    """

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    def _door(self, model: type[SQLModel], including_deleted: bool = False) -> list[Any]:
        table = table_of(model)
        return [] if including_deleted or "deleted_at" not in table.c else [table.c.deleted_at.is_(None)]

    # ---- reading -------------------------------------------------------------------------------------------------

    def table(self, model: type[SQLModel], *columns: str, including_deleted: bool = False) -> Any:
        """The rows as a FROM entry of a statement that is given to `report`; with these columns, or with all."""
        table = table_of(model)
        shown = [table.c[name] for name in columns] if columns else [*table.c]
        return select(*shown).where(*self._door(model, including_deleted)).subquery()

    async def report(self, statement: Any) -> list[Any]:
        """The records of a Core statement over such entries."""
        sql, values = statements.generic(statement)
        rows: list[Any] = await self._conn.fetch(sql, *values)
        return rows

    def _found(
        self,
        model: type[SQLModel],
        conditions: Sequence[Any],
        columns: Sequence[Any],
        order_by: Any = (),
        limit: int | None = None,
        including_deleted: bool = False,
    ) -> Any:
        table = table_of(model)
        keys = order_by if isinstance(order_by, tuple) else (order_by,)
        made = (
            select(*_columns(table, columns))
            .select_from(table)
            .where(*self._door(model, including_deleted), *[clause(c) for c in conditions])
            .order_by(*[clause(key) for key in keys])
        )
        return made if limit is None else made.limit(limit)

    async def select(
        self,
        model: type[SQLModel],
        *conditions: Any,
        columns: Sequence[Any] = IDENTITY,
        order_by: Any = (),
        limit: int | None = None,
        distinct: bool = False,
        skip_locked: bool = False,
        including_deleted: bool = False,
    ) -> list[Any]:
        """Returns records. `skip_locked`: locks the rows, and leaves out rows that another transaction holds."""
        made = self._found(model, conditions, columns, order_by, limit, including_deleted)
        made = made.distinct() if distinct else made
        if skip_locked:
            made = made.with_for_update(key_share=True, skip_locked=True, of=table_of(model))
        return await self.report(made)

    async def exists(self, model: type[SQLModel], *conditions: Any) -> bool:
        return bool(await self.report(self._found(model, conditions, (ONE,), limit=1)))

    # ---- writing -------------------------------------------------------------------------------------------------

    async def claim(
        self,
        model: type[SQLModel],
        *due: Any,
        order_by: Any,
        limit: int,
        columns: Sequence[Any] = IDENTITY,
        **changes: Any,
    ) -> list[Any]:
        """Changes the first rows that are due and not locked by others, so that they are no longer due, and returns
        their records.
        """
        table = table_of(model)
        found = self._found(model, due, (table.c.id,), order_by, limit)
        first = found.with_for_update(key_share=True, skip_locked=True).cte("due")
        changed = update(table).where(table.c.id == first.c.id).values(_values(model, changes))
        return await self.report(changed.returning(*_columns(table, columns)))

    async def take(self, model: type[SQLModel], *conditions: Any, columns: Sequence[Any] = IDENTITY) -> list[Any]:
        """Deletes rows and returns their records: each is taken once."""
        table = table_of(model)
        removed = delete(table).where(*self._door(model), *[clause(c) for c in conditions])
        return await self.report(removed.returning(*_columns(table, columns)))

    async def remove(self, model: type[SQLModel], *conditions: Any, portion: int) -> int:
        """Deletes up to a portion of rows, including soft-deleted ones, found by an index; returns the number."""
        found = self._found(model, conditions, (CTID,), limit=portion, including_deleted=True)
        inner, values = statements.generic(found)
        removed: int = await self._conn.fetchval(statements.removing(model, inner), *values)
        return removed

    async def update_where(
        self,
        model: type[SQLModel],
        *conditions: Any,
        columns: Sequence[Any] = IDENTITY,
        including_deleted: bool = False,
        **changes: Any,
    ) -> list[Any]:
        """Changes the rows that match, and returns their records. Conditions and values may read other entries."""
        table = table_of(model)
        changed = (
            update(table)
            .where(*self._door(model, including_deleted), *[clause(c) for c in conditions])
            .values(_values(model, changes))
        )
        return await self.report(changed.returning(*_columns(table, columns)))

    async def update_each(self, model: type[SQLModel], changes: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """Changes several rows, each by its id and to values of its own, in one statement; returns their ids."""
        if not changes:
            return []
        return [row[0] for row in await self.report(statements.updating_each(model, changes, self._door(model)))]

    async def insert_all(self, rows: Sequence[SQLModel]) -> None:
        """New rows of one table, in one statement."""
        if rows:
            self._place(rows)
            columns = given(rows[0])
            sql = statements.adding(type(rows[0]), columns)
            await self._conn.execute(sql, *statements.columns_of(rows, columns))

    def _place(self, rows: Sequence[SQLModel]) -> None:
        """Says of new rows which workspace they belong to. A TypeError for rows that do not belong here."""
        self._door(type(rows[0]))

    async def upsert(self, rows: Sequence[SQLModel], *keys: str, kept: Sequence[str] = (), **changes: Any) -> None:
        """Inserts rows of one table or replaces those with the same `keys`, in one statement. Columns in `kept` are
        written to new rows only; `changes`, such as `seen_at=NOW`, to all.
        """
        if not rows:
            return
        self._place(rows)
        model = type(rows[0])
        table, columns = table_of(model), tuple(n for n in given(rows[0]) if n not in changes)
        new = statements.supplied(model, {name: [row.__dict__[name] for row in rows] for name in columns})
        told = statements.valued(changes)
        made = pg_insert(table).from_select([*columns, *told], select(*new.c, *told.values()), include_defaults=False)
        sets = {name: made.excluded[name] for name in (*columns, *told) if name not in {*keys, *kept}}
        door = self._door(model, including_deleted=True)
        own = and_(*door) if door else None
        await self.report(made.on_conflict_do_update(index_elements=keys, set_=sets, where=own).returning(ONE))


class Within(Everywhere):
    """The same words for the rows of one workspace: each statement has that scope."""

    def __init__(self, conn: Any, workspace_id: str) -> None:
        super().__init__(conn)
        self._workspace_id = workspace_id

    def _door(self, model: type[SQLModel], including_deleted: bool = False) -> list[Any]:
        return [table_of(model).c.workspace_id == self._workspace_id, *super()._door(model, including_deleted)]

    def _place(self, rows: Sequence[SQLModel]) -> None:
        for row in rows:
            row.__dict__["workspace_id"] = self._workspace_id


class OfInstance(Everywhere):
    """The same words on tables that belong to no workspace, without a transaction."""

    def _door(self, model: type[SQLModel], including_deleted: bool = False) -> list[Any]:
        if "workspace_id" in table_of(model).c:
            raise TypeError(f"{model.__name__} belongs to workspaces")
        return super()._door(model, including_deleted)


@asynccontextmanager
async def of_instance() -> AsyncIterator[OfInstance]:
    """The tables of no workspace: each word commits by itself."""
    async with database.lease() as conn:
        yield OfInstance(conn)


ALL_ROWS = "*"


async def rows_in(scope: str, sql: str, *values: Any) -> list[Any]:
    """The rows of one statement that sees the rows of a workspace, or ALL_ROWS, in one round trip (see ADR 3)."""
    async with database.lease() as conn:
        return list(await (conn.within(scope, sql, *values) if database.row_security else conn.fetch(sql, *values)))


def supplied(model: type[SQLModel], **columns: Sequence[Any]) -> Any:
    """Values that come with a statement, as a FROM entry with columns of this table: one list a column."""
    return statements.supplied(model, columns)


def has_secret(column: Any) -> Any:
    """True if a column of secrets holds one; conditions on such a column can test nothing else."""
    return BinaryExpression(clause(column), null(), is_not)


def in_live_workspaces(model: type[SQLModel]) -> Any:
    """The condition of rows whose workspace was not deleted."""
    place = table_of(Workspace).alias()
    own = table_of(model).c.workspace_id
    found = select(ONE).select_from(place).where(place.c.id == own, place.c.deleted_at.is_(None))
    return found.correlate(table_of(model)).exists()


def waiting(model: type[SQLModel], *conditions: Any) -> str:
    """The `when` of a clock: whether any workspace has a live row that is due. Constants stand in its text."""
    found = Everywhere(None)._found(model, conditions, (ONE,))
    return f"EXISTS ({found.compile(dialect=DIALECT, compile_kwargs={'literal_binds': True})})"


def _columns(table: Any, columns: Sequence[Any]) -> list[Any]:
    if columns is IDENTITY:
        return [table.c[name] for name in columns if name in table.c]
    return [table.c[each] if isinstance(each, str) else clause(each) for each in columns]


def _values(model: type[SQLModel], changes: Mapping[str, Any]) -> dict[str, Any]:
    return statements.edited(model, statements.valued(changes))
