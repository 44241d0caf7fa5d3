"""Wrapped data keys in the database, read and stored outside the transaction that needs one."""

from collections.abc import Callable
from typing import Any

import asyncpg

from resolvers.errors import Code, Refusal
from resolvers.instance.data_keys import StoredKey
from resolvers.instance.telemetry import log
from resolvers.instance.wrapping import Wrapped
from resolvers.kernel.background.clocks import ALL_WORKSPACES
from resolvers.kernel.store.database import database

COLUMNS = "id, workspace_id, wrapped_by, wrapped"
CURRENT = f"SELECT {COLUMNS} FROM data_keys WHERE workspace_id IS NOT DISTINCT FROM $1 AND retired_at IS NULL"
FIND = f"SELECT {COLUMNS} FROM data_keys WHERE id = $1"
DROPPED = "CS423"  # SQLSTATE of needs_key(), which triggers call
GONE = "The key of this server was dropped: restart it with the current key"
ADD = f"INSERT INTO data_keys ({COLUMNS}) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"


class DataKeyStore:
    """The data keys of a database, by connections that are used for nothing else meanwhile."""

    def __init__(self, lease: Callable[[], Any] = database.aside) -> None:
        self._lease = lease

    async def current(self, workspace_id: str | None) -> StoredKey | None:
        async with self._lease() as conn, conn.transaction():
            await conn.fetchval(ALL_WORKSPACES)
            return stored(await conn.fetchrow(CURRENT, workspace_id))

    async def find(self, id: str) -> StoredKey | None:
        async with self._lease() as conn, conn.transaction():
            await conn.fetchval(ALL_WORKSPACES)
            return stored(await conn.fetchrow(FIND, id))

    async def add(self, made: StoredKey) -> StoredKey:
        async with self._lease() as conn, conn.transaction():
            await conn.fetchval(ALL_WORKSPACES)
            try:
                await conn.execute(ADD, made.id, made.workspace_id, *made.wrapped)
            except asyncpg.ForeignKeyViolationError:  # it was deleted meanwhile
                raise Refusal(Code.NOT_FOUND, "Not found") from None
            except asyncpg.PostgresError as error:
                if error.sqlstate != DROPPED:
                    raise
                log.error("the key that wraps here was dropped", key=made.wrapped.by)
                raise Refusal(Code.UNAVAILABLE, GONE) from None
            found = stored(await conn.fetchrow(CURRENT, made.workspace_id))
        assert found is not None
        return found


def stored(row: Any) -> StoredKey | None:
    """Converts a row of COLUMNS."""
    return (
        None if row is None else StoredKey(row["id"], row["workspace_id"], Wrapped(row["wrapped_by"], row["wrapped"]))
    )
