"""The schema's history, forward only, and the way to the newest state. A database that is there is only looked at."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import asyncpg

from models.connections import open_connection
from models.migrations import sql, statistics
from models.migrations.cluster import KNOWN, NOTE, adopt
from models.migrations.grants import grant
from models.migrations.row_security import apply_row_security

log = logging.getLogger("crewship.migrations")

# One migration at a time on a database: any constant will do, as long as every version of the program has the same.
_LOCK = 0x6372657773686970  # "crewship"
SETTINGS = {
    "application_name": "crewship-migrations",
    "crewship.workspaces": "*",  # a migration of data sees the rows of all tenants
    "statement_timeout": "15min",
}
RELEASE = "release"
"""The fact that holds the release that migrated the database last."""
OLDEST = "2026_12_01_23"
"""The oldest revision whose release works on the tables of this one. A migration that removes or renames what an
earlier release uses raises it.
"""
WORKS_FROM = "works_from"
"""The fact that holds `OLDEST` of the release that migrated the database last."""
LOCK_TIMEOUT = 300.0  # another process may be migrating
TABLE_LOCK_TIMEOUT = "500ms"
"""Readers and writers queue behind a statement that waits for a table. Less than PostgreSQL's `deadlock_timeout`: a
migration that waits for a second table, whose reader waits for the first one, gives up before the reader is cancelled.
"""
TABLE_LOCK_TRIES = 30
TABLE_LOCK_PAUSE = 1.0  # seconds
KEEP = """
    INSERT INTO kept_days (name, days) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET days = excluded.days WHERE kept_days.days <> excluded.days
"""
NAMED = re.compile(r"(\d{4}_\d\d_\d\d(?:_\d+)?)_")
"""The beginning of a migration's file name: the day, and a number if the day has several."""
UNRELEASED = re.compile(r"0\d{3}")
"""The revisions before the first release."""


State = tuple[str | None, str | None]
"""The revision of a database, and the digests of its function files; none if there are none."""


class SchemaError(Exception):
    """The database is at an unknown revision; the text says what to do."""


class NewerSchemaError(SchemaError):
    """The database was migrated by a later release; the text names the release that is needed."""


class BusyTableError(SchemaError):
    """A transaction keeps a table locked; what a migration had begun is rolled back."""


class UnreleasedSchemaError(SchemaError):
    """The database was made before the first release."""


async def upgrade(
    dsn: str,
    *,
    application_role: str | None = None,
    row_level_security: bool = True,
    audit_days: int | None = None,
    before: Callable[[str], Awaitable[None]] | None = None,
) -> str:
    """Runs the missing migrations, updates functions and triggers to this release, then sets rights, row-level security
    and statistics parameters. Returns the revision: a later one than this release's if a later release migrated the
    database and its tables still serve this release, and then nothing is changed.

    `dsn` is a libpq URI of the tables' owner. `application_role` names an existing role; the owner itself, if one role
    does everything, keeps its rights. `audit_days`: how long audit rows are kept, 0 for ever; without it, the stored
    value stays. `before`: awaited with the revision of a database that is not empty, before a migration changes it.
    Many processes may call this at once. A failed migration is rolled back alone; earlier ones stay.
    Raises SchemaError, and changes nothing, if the database is at an unknown revision.
    """
    connection = await open_connection(dsn, server_settings=SETTINGS)
    try:
        await _take_lock(connection)
        state = await _state(connection)
        if (found := await _later(connection, state[0])) is not None:
            return found
        await connection.execute(f"SET lock_timeout = '{TABLE_LOCK_TIMEOUT}'")
        found, _ = await _known(connection, state)
        if before is not None and found is not None and found != head():
            await before(found)
        for tries_left in reversed(range(TABLE_LOCK_TRIES)):
            try:
                await _bring(dsn, connection, state, application_role, row_level_security, audit_days)
                break
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                if not tries_left:
                    raise BusyTableError(
                        "the database cannot be migrated while another transaction keeps a table locked:"
                        " end it (pg_stat_activity shows it), and start again"
                    ) from None
                log.warning("a table is locked, so the migration is tried again")
                await asyncio.sleep(TABLE_LOCK_PAUSE)
                state = await _state(connection)  # earlier migrations stay
        await statistics.analyze(connection)
        return head()
    finally:
        await connection.close()


async def _bring(
    dsn: str,
    connection: "asyncpg.Connection[asyncpg.Record]",
    state: State,
    application_role: str | None,
    row_level_security: bool,
    audit_days: int | None,
) -> None:
    """Can be repeated after a failure: each part is a transaction that does what is missing."""
    found, brought = await _known(connection, state)
    migrated = found != head()
    if migrated:
        from models.migrations import revisions

        await revisions.upgrade(dsn)
        await connection.execute(NOTE, RELEASE, version("crewship"))
        await connection.execute(NOTE, WORKS_FROM, OLDEST)
    if lacking := sql.lacking(brought):
        await sql.bring(connection, lacking)
    copied = await adopt(connection)
    async with connection.transaction():
        await apply_row_security(connection, row_level_security)
        await grant(connection, application_role)
        if audit_days is not None:
            await connection.execute(KEEP, "audit_logs", audit_days)
    if migrated or copied:
        await statistics.prepare(connection)


async def later(connection: "asyncpg.Connection[asyncpg.Record]") -> str | None:
    """The revision of a database that a later release migrated, if this release works on its tables."""
    return await _later(connection, (await _state(connection))[0])


async def _later(connection: "asyncpg.Connection[asyncpg.Record]", found: str | None) -> str | None:
    if found is None or found in _revisions() or not NAMED.fullmatch(f"{found}_") or number(found) <= number(head()):
        return None
    from_: str | None = await connection.fetchval(KNOWN, WORKS_FROM)
    return found if from_ in _revisions() else None


async def known_state(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[str | None, str | None]:
    """The revision of a database, and the digests of its function files. Raises SchemaError for an unknown revision."""
    return await _known(connection, await _state(connection))


async def _known(connection: "asyncpg.Connection[asyncpg.Record]", state: State) -> State:
    if (found := state[0]) is not None and found not in _revisions():
        raise await _unknown(connection, found)
    return state


async def current(dsn: str) -> str | None:
    """The revision a database is at; none when it is empty."""
    connection = await open_connection(dsn, server_settings=SETTINGS)
    try:
        return (await _state(connection))[0]
    finally:
        await connection.close()


async def revision(connection: Any) -> str | None:
    """The newest revision that a database was brought to."""
    return (await _state(connection))[0]


async def lacks(connection: Any) -> bool:
    """Returns true if a database lacks migrations or functions of this release; a database that a later release
    migrated does not.
    """
    found, brought = await _state(connection)
    if found is None or number(found) != number(head()):
        return found is None or number(found) < number(head())
    return bool(sql.lacking(brought))


def head() -> str:
    """The newest revision that this program knows: what a migration's file is named by."""
    return max(_revisions(), key=number)


def applied() -> list[int]:
    """The numbers of all revisions that this program brings a database to, in order."""
    return sorted(map(number, _revisions()))


def number(revision: str) -> int:
    """A number that grows with the revisions: the day, and two digits for its place in the day."""
    day, place = revision[:10].replace("_", ""), revision[11:] or "0"
    return int(day) * 100 + int(place)


@cache
def _revisions() -> frozenset[str]:
    named = (NAMED.match(path.name) for path in Path(__file__).with_name("versions").glob("[0-9]*.py"))
    return frozenset(match[1] for match in named if match is not None)


async def _unknown(connection: "asyncpg.Connection[asyncpg.Record]", found: str) -> SchemaError:
    at = f"the database is at revision {found}"
    if UNRELEASED.fullmatch(found):
        return UnreleasedSchemaError(f"{at}, from before the first release, and cannot be upgraded: use an empty one")
    release = await connection.fetchval(KNOWN, RELEASE)
    needed = f"Crewship {release}" if release else "the release of Crewship that migrated it"
    return NewerSchemaError(
        f"{at}, and this is Crewship {version('crewship')}, which knows revisions up to"
        f" {head()}: start {needed} or newer, or restore a backup from before the upgrade"
    )


async def _take_lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Asked for again and again: an index that is built concurrently would wait for a statement that waits here."""
    deadline = time.monotonic() + LOCK_TIMEOUT
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process has been migrating this database for {LOCK_TIMEOUT} seconds")
        await asyncio.sleep(0.1)


async def _state(connection: Any) -> State:
    """The revision, and the digests of the function files; none if there are none."""
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        return None, None
    found = await connection.fetchrow(sql.STATE)
    return (None, None) if found is None else (found[0], found[1])
