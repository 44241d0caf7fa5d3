"""Copies of rows in bulk, in PostgreSQL's text format: out of one snapshot, and into tables in one transaction.

Both have a connection of their own, outside the pool: they take minutes, and their statements may, too. Rows arrive in
INSERT statements: COPY into tables with row-level security is refused, and the role may make no temporary tables.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import delete
from sqlmodel import SQLModel

from models.base import table_of
from resolvers.errors import Code, Refusal
from resolvers.kernel.store import statements
from resolvers.kernel.store.connection import connect
from resolvers.kernel.store.database import database

PATIENT: Final = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
NULL: Final = b"\\N"
_ESCAPED: Final = re.compile(rb"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_CONTROL: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
NO_LINES: Final = "The rows of the bundle do not fit these tables"
# of a type without its limits: the assignment to the column refuses what is too long, where a cast would cut it
TYPES: Final = """
    SELECT attname, format_type(atttypid, -1) AS type FROM pg_attribute
    WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped
"""


@asynccontextmanager
async def _connected(scope: str, dsn: str | None = None) -> AsyncIterator[Any]:
    own = {"application_name": "crewship-backup", "crewship.workspaces": scope}
    conn = await connect(dsn or database.direct, PATIENT | own)
    try:
        yield conn
    finally:
        conn.terminate()


Row = Sequence[str | None]


def key_of(model: type[SQLModel]) -> Sequence[str]:
    """The columns that name a row: its id, or its whole key."""
    table = table_of(model)
    return ("id",) if "id" in table.c else tuple(str(column.name) for column in table.primary_key.columns)


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
        """Inserts the rows whose keys are free; returns their number. Rows of one table may refer to each other, in
        any order: such references are deferrable.
        """
        sql, made = await self._filling(f'"{table_of(model).name}"', columns), 0
        await self._conn.execute("SET CONSTRAINTS ALL DEFERRED")
        async for content in lines:
            try:
                values = await asyncio.to_thread(values_of, content, len(columns))
            except ValueError as error:
                raise Refusal(Code.BAD_REQUEST, NO_LINES) from error
            told = await self._conn.execute(sql, *values)
            made += int(told.rpartition(" ")[2])
        await self._conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
        return made

    async def fill(
        self, model: type[SQLModel], columns: Sequence[str], rows: Sequence[Row], refused: Callable[[int, str], None]
    ) -> set[int]:
        """Inserts rows of texts whose keys are free, and returns their places. A row that the table refuses is
        reported, by its place and the name of the rule, and the others are inserted.
        """
        keys = list(key_of(model))
        filling = await self._filling(f'"{table_of(model).name}"', columns)
        sql = f"{filling} RETURNING {', '.join(f'{key}::text' for key in keys)}"
        at = [columns.index(key) for key in keys]
        places = {tuple(row[place] for place in at): number for number, row in enumerate(rows)}
        made, left = set[int](), [range(len(rows))]
        while left:
            part = left.pop()
            values = [[rows[number][place] for number in part] for place in range(len(columns))]
            try:
                async with self._conn.transaction():
                    made |= {places[tuple(row)] for row in await self._conn.fetch(sql, *values)}
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, asyncpg.RaiseError) as error:
                if len(part) == 1:
                    refused(part[0], str(getattr(error, "constraint_name", None) or type(error).__name__))
                else:
                    middle = len(part) // 2
                    left += [part[middle:], part[:middle]]
        return made

    async def defer(self, *, until_now: bool = False) -> None:
        """From now on rows may refer to rows that follow; `until_now`: all that they refer to have to be there."""
        await self._conn.execute(f"SET CONSTRAINTS ALL {'IMMEDIATE' if until_now else 'DEFERRED'}")

    async def _filling(self, table: str, columns: Sequence[str]) -> str:
        """The statement whose parameters are columns of texts."""
        types = {row["attname"]: row["type"] for row in await self._conn.fetch(TYPES, table)}
        named = ", ".join(f'"{name}"' for name in columns)
        given = ", ".join(f"${number}::text[]" for number, _ in enumerate(columns, 1))
        fields = ", ".join(f"f{number}" for number, _ in enumerate(columns))
        cast = ", ".join(f"f{number}::{types[name]}" for number, name in enumerate(columns))
        return (
            f"INSERT INTO {table} ({named}) SELECT {cast} FROM unnest({given}) AS given ({fields})"
            " ON CONFLICT DO NOTHING"
        )

    def keep(self) -> None:
        """The end of the block commits everything that was landed."""
        self.kept = True


def values_of(content: bytes, width: int) -> list[list[str | None]]:
    """The columns of whole lines. Raises ValueError for a line of another width, and for what is not UTF-8."""
    rows = [line.split(b"\t") for line in content.split(b"\n")[:-1]]
    if any(len(row) != width for row in rows):
        raise ValueError("a line has other columns than its table")
    return [[_value(row[place]) for row in rows] for place in range(width)]


def _value(field: bytes) -> str | None:
    if field == NULL:
        return None
    return (field if b"\\" not in field else _ESCAPED.sub(_plain, field)).decode()


def _plain(found: re.Match[bytes]) -> bytes:
    text = found[1]
    if text[:1] == b"x" and len(text) > 1:
        return bytes([int(text[1:], 16)])
    return bytes([int(text, 8) & 255]) if text.isdigit() and text < b"8" else _CONTROL.get(text, text)


class _Undone(Exception):
    pass


@asynccontextmanager
async def landing(workspace_id: str, dsn: str | None = None) -> AsyncIterator[Landing]:
    """One transaction, in which only rows of this workspace, and of none, can be written. It is committed if `keep` was
    called. `dsn`: of a process without a pool.
    """
    async with _connected(workspace_id, dsn) as conn:
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
