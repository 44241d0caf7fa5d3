"""Copies of rows in bulk, in PostgreSQL's text format: out of one snapshot, and into tables in one transaction.

Both have a connection of their own, outside the pool: they take minutes, and their statements may, too.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import delete
from sqlmodel import SQLModel

from models.base import table_of
from resolvers.errors import Code, Refusal
from resolvers.kernel.store import statements
from resolvers.kernel.store.across import SCOPE_SQL
from resolvers.kernel.store.database import connect, database

PATIENT: Final = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
STAGE: Final = "staged"


@asynccontextmanager
async def _connected(scope: str) -> AsyncIterator[Any]:
    conn = await connect(database.pool.dsn, PATIENT | {"application_name": "crewship-backup"})
    try:
        await conn.fetch(SCOPE_SQL, scope)
        yield conn
    finally:
        conn.terminate()


class Snapshot:
    """The database at one moment, as the service of one workspace sees it."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def report(self, statement: Any) -> list[Any]:
        sql, values = statements.generic(statement)
        return list(await self._conn.fetch(sql, *values))

    async def copy(self, statement: Any, take: Callable[[bytes], Awaitable[None]]) -> int:
        """Hands over the rows, whole lines at a time; returns their number."""
        sql, values = statements.generic(statement)
        told: str = await self._conn.copy_from_query(sql, *values, output=take, format="text")
        return int(told.rpartition(" ")[2])


@asynccontextmanager
async def snapshot(workspace_id: str) -> AsyncIterator[Snapshot]:
    """Row-level security lets it see no other workspace, regardless of the statement."""
    async with _connected(workspace_id) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        yield Snapshot(conn)


class Landing:
    """Rows on their way into tables. They are checked as if they were written one by one."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self.kept = False

    async def report(self, statement: Any) -> list[Any]:
        sql, values = statements.generic(statement)
        return list(await self._conn.fetch(sql, *values))

    async def remove(self, model: type[SQLModel], condition: Any) -> None:
        sql, values = statements.generic(delete(table_of(model)).where(condition))
        await self._conn.execute(sql, *values)

    async def land(self, model: type[SQLModel], columns: Sequence[str], lines: AsyncIterator[bytes]) -> int:
        """Inserts the rows whose keys are free; returns their number. Rows of one table may refer to each other."""
        named = ", ".join(f'"{name}"' for name in columns)
        table = f'"{table_of(model).name}"'
        await self._conn.execute(f"CREATE TEMP TABLE {STAGE} ON COMMIT DROP AS SELECT {named} FROM {table} LIMIT 0")
        await self._conn.copy_to_table(STAGE, source=lines, columns=list(columns), format="text")
        told = await self._conn.execute(
            f"INSERT INTO {table} ({named}) SELECT {named} FROM {STAGE} ON CONFLICT DO NOTHING"
        )
        await self._conn.execute(f"DROP TABLE {STAGE}")
        return int(told.rpartition(" ")[2])

    def keep(self) -> None:
        """The end of the block commits everything that was landed."""
        self.kept = True


class _Undone(Exception):
    pass


@asynccontextmanager
async def landing(workspace_id: str) -> AsyncIterator[Landing]:
    """One transaction, in which only rows of this workspace, and of none, can be written. It is committed if `keep` was
    called.
    """
    async with _connected(workspace_id) as conn:
        made = Landing(conn)
        try:
            async with conn.transaction():
                yield made
                if not made.kept:
                    raise _Undone
        except _Undone:
            pass
        except asyncpg.IntegrityConstraintViolationError as error:
            raise Refusal(Code.CONFLICT, conflict_text(error)) from error
        except asyncpg.DataError as error:
            raise Refusal(Code.BAD_REQUEST, f"The rows of the bundle do not fit these tables: {error}") from error


def conflict_text(error: asyncpg.IntegrityConstraintViolationError) -> str:
    where = f" ({error.constraint_name})" if getattr(error, "constraint_name", None) else ""
    return f"A row of the bundle contradicts rows that are there{where}; nothing was written"
