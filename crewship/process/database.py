"""The database of a process: DATABASE_URL, or the embedded one."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncpg

from crewship.process.postgres import APPLICATION, Connection, EmbeddedPostgres
from models import migrations
from models.address import Address
from models.connections import open_connection
from resolvers.instance.settings import Settings

OLDEST_POSTGRES = 15
ASKED = {"plan_cache_mode": "force_generic_plan", "application_name": "crewship-start"}
POOLED = (
    "{place} is a pooler in transaction mode, which keeps no session: name PostgreSQL itself in "
    "CREWSHIP_DATABASE_DIRECT_URL and CREWSHIP_MIGRATION_DATABASE_URL; only DATABASE_URL may name the pooler"
)
UNUSED_SNAPSHOT: Final = Path("pg") / "snapshots" / "unused"
"""A file: nothing has worked on the embedded database since its snapshot, so a migration that is tried again needs no
other one.
"""
DATABASE_WAIT = 30.0  # seconds that a database which starts beside us may take


class StartError(Exception):
    """The process cannot serve with its configuration; the text names the setting to change."""


@dataclass(frozen=True)
class Access:
    """The connection parameters of this process: for the application, and for the tables' owner (maybe the same
    role). Both reach PostgreSQL itself; `pooled` is the application's way through a pooler, for all that needs no
    session of its own.
    """

    application: str = field(repr=False)
    owner: str = field(repr=False)
    role: str | None  # the application's role, when it is not the owner
    joined: bool = False  # the embedded server belongs to another process
    pooled: str | None = field(default=None, repr=False)


@contextlib.contextmanager
def database(settings: Settings, *, archived: bool = False) -> Iterator[Access]:
    """The database of DATABASE_URL, or the embedded one while the block runs (joined, if another process serves it).

    `archived`: the log of an embedded one that this starts is archived meanwhile, if the settings name an archive.
    """
    if settings.database_url is not None:
        yield external(settings)
        return
    if settings.database_direct_url is not None:
        raise StartError("CREWSHIP_DATABASE_DIRECT_URL needs a DATABASE_URL; set both, or remove it")
    if settings.database_replica_url is not None:
        raise StartError("CREWSHIP_DATABASE_REPLICA_URL needs a DATABASE_URL; set both, or remove it")
    server = EmbeddedPostgres(settings.data_dir, options=_options(settings), former=settings.postgres_former)
    connection = server.start_or_join()
    try:
        with _archiving(settings, server, connection) if archived else contextlib.nullcontext():
            yield Access(connection.application, connection.owner, APPLICATION, joined=connection.joined)
    finally:
        server.stop()


def _options(settings: Settings) -> dict[str, str]:
    if settings.wal_archive is None:
        return {}
    from crewship.process import wal_archive

    return wal_archive.options(settings.data_dir)


def _archiving(
    settings: Settings, server: EmbeddedPostgres, connection: Connection
) -> contextlib.AbstractContextManager[None]:
    if connection.joined or (settings.wal_archive is None and not server.keeps_log()):
        return contextlib.nullcontext()
    from crewship.process import wal_archive

    return wal_archive.archiving(settings.wal_archive, server, connection)


@contextlib.contextmanager
def existing_database(settings: Settings) -> Iterator[Access]:
    """The same, for commands that work on what a server keeps: none of them makes a database in a directory that is not
    the one which was meant. Raises StartError.
    """
    if settings.database_url is None and not EmbeddedPostgres(settings.data_dir).is_made:
        raise StartError(
            f"there is no database in {settings.data_dir};"
            " set CREWSHIP_DATA_DIR to the data directory of the server, or DATABASE_URL"
        )
    with database(settings) as access:
        asyncio.run(_check_migrated(access))
        note_use(settings)
        yield access


def note_use(settings: Settings) -> None:
    """Records that a process works on the embedded database: its next migration gets a snapshot of its own."""
    (settings.data_dir / UNUSED_SNAPSHOT).unlink(missing_ok=True)


async def _check_migrated(access: Access) -> None:
    await wait_for_database(access.owner, wait=5.0)
    if await migrations.current(access.owner) is None:
        raise StartError(
            f"the database {place_of(access.owner)} has no tables of Crewship; correct DATABASE_URL or "
            "CREWSHIP_DATA_DIR, or create them with `crewship migrate`"
        )


def external(settings: Settings) -> Access:
    assert settings.database_url is not None
    direct = settings.database_direct_url
    application = (direct or settings.database_url).get_secret_value()
    owner = settings.migration_database_url.get_secret_value() if settings.migration_database_url else application
    role, owns = Address.read(application).user, Address.read(owner).user
    pooled = settings.database_url.get_secret_value() if direct is not None else None
    return Access(application, owner, role if role and role != owns else None, pooled=pooled)


def place_of(dsn: str) -> str:
    """A database's address without user and password, for messages."""
    return Address.read(dsn).place


async def wait_for_database(dsn: str, wait: float = DATABASE_WAIT) -> None:
    """Return when the database takes connections, keeps its sessions apart, and is new enough. Raises StartError."""
    deadline = time.monotonic() + wait
    while True:
        try:
            connection = await open_connection(dsn, timeout=5, server_settings=ASKED)
            break
        except (ConnectionError, TimeoutError, asyncpg.CannotConnectNowError) as error:
            if time.monotonic() > deadline:
                raise StartError(
                    f"the database {place_of(dsn)} does not answer ({str(error) or type(error).__name__});"
                    " start it, or correct DATABASE_URL"
                ) from None
            await asyncio.sleep(0.5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            if "unsupported startup parameter" in str(error):  # as PgBouncer says it
                raise StartError(POOLED.format(place=place_of(dsn))) from None
            raise StartError(f"the database {place_of(dsn)} refuses ({error}); correct DATABASE_URL") from None
    try:
        if await _is_pooled(dsn, connection):
            raise StartError(POOLED.format(place=place_of(dsn)))
        if connection.get_server_version().major < OLDEST_POSTGRES:
            found = await connection.fetchval("SHOW server_version")
            raise StartError(
                f"the database {place_of(dsn)} is PostgreSQL {found}; {OLDEST_POSTGRES} or newer is required"
            )
    finally:
        await connection.close()


async def _is_pooled(dsn: str, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Returns true if the server ignores requested settings, or sessions share settings."""
    for name, value in ASKED.items():
        if await connection.fetchval("SELECT current_setting($1)", name) != value:
            return True
    mark = secrets.token_hex(8)
    await connection.execute("SELECT set_config('crewship.session', $1, false)", mark)
    try:
        other = await open_connection(dsn, timeout=5, server_settings=ASKED)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"the database {place_of(dsn)} refuses a second connection ({error})") from None
    try:
        return await other.fetchval("SELECT current_setting('crewship.session', true)") == mark  # type: ignore[no-any-return]
    finally:
        await other.close()
