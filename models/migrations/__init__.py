"""The schema's history, forward only, and the way to the newest state. A database that is there is only looked at."""

import asyncio
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

import asyncpg

from models.migrations import statistics
from models.migrations.cluster import KNOWN, NOTE, adopt
from models.migrations.grants import grant
from models.migrations.row_security import apply_row_security

# One migration at a time on a database: any constant will do, as long as every version of the program has the same.
_LOCK = 0x6372657773686970  # "crewship"
SETTINGS = {
    "application_name": "crewship-migrations",
    "crewship.workspaces": "*",  # a migration of data sees the rows of all tenants
    "statement_timeout": "15min",
}
RELEASE = "release"
"""The fact that holds the release that migrated the database last."""
LOCK_TIMEOUT = 300.0  # another process may be migrating
TABLE_LOCK_TIMEOUT = "10s"  # rather give up than queue every reader behind us
KEEP = """
    INSERT INTO kept_days (name, days) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET days = excluded.days WHERE kept_days.days <> excluded.days
"""


class NewerSchemaError(Exception):
    """The database was migrated by a later release; the text names the release that is needed."""


async def upgrade(
    dsn: str, *, application_role: str | None = None, row_level_security: bool = True, audit_days: int | None = None
) -> None:
    """Runs the migrations that are missing, then sets rights, row-level security and parameters of statistics.

    `dsn` is a libpq URI of the tables' owner. `application_role` names a role that exists; the owner itself, as in a
    database that has one role for everything, keeps the rights it has. `audit_days`: how long rows of the audit log are
    kept, 0 for good; without it, what was said before holds. Many processes may call this at once. A migration that
    fails is rolled back alone; the ones before it stay. Raises NewerSchemaError, and changes nothing, where a later
    release has migrated the database.
    """
    connection = await asyncpg.connect(dsn, server_settings=SETTINGS)
    try:
        await _take_lock(connection)
        await connection.execute(f"SET lock_timeout = '{TABLE_LOCK_TIMEOUT}'")
        found = await _revision(connection)
        if found is not None and found not in _revisions():
            raise NewerSchemaError(await _newer(connection, found))
        migrated = found != head()
        if migrated:
            from models.migrations import revisions

            await revisions.upgrade(dsn)
            await connection.execute(NOTE, RELEASE, version("crewship"))
        copied = await adopt(connection)
        async with connection.transaction():
            await apply_row_security(connection, row_level_security)
            await grant(connection, application_role)
            if audit_days is not None:
                await connection.execute(KEEP, "audit_logs", audit_days)
        if migrated or copied:
            await statistics.prepare(connection)
        await statistics.analyze(connection)
    finally:
        await connection.close()


async def current(dsn: str) -> str | None:
    """The revision a database is at; none when it is empty."""
    connection = await asyncpg.connect(dsn, server_settings=SETTINGS)
    try:
        return await _revision(connection)
    finally:
        await connection.close()


def head() -> str:
    """The newest revision that this program knows: the number that a migration's file begins with."""
    return max(_revisions())


@cache
def _revisions() -> frozenset[str]:
    versions = Path(__file__).with_name("versions").glob("[0-9]*.py")
    return frozenset(path.name.partition("_")[0] for path in versions)


async def _newer(connection: "asyncpg.Connection[asyncpg.Record]", found: str) -> str:
    release = await connection.fetchval(KNOWN, RELEASE)
    needed = f"Crewship {release}" if release else "the release of Crewship that migrated it"
    return (
        f"the database is at revision {found}, and this is Crewship {version('crewship')}, which knows revisions up to"
        f" {head()}: start {needed} or newer, or restore a backup from before the upgrade"
    )


async def _take_lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Asked for again and again: an index that is built concurrently would wait for a statement that waits here."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process has been migrating this database for {LOCK_TIMEOUT} seconds")
        await asyncio.sleep(0.1)


async def _revision(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found
