"""One real PostgreSQL for a whole test run, and fresh copies of a migrated database.

The server belongs to the controlling process: under xdist its workers get the address, so that one of them ending early ends nothing.
"""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.postgres import APPLICATION, OWNER, Connection, EmbeddedPostgres
from models.migrations import upgrade

TEMPLATE = "template_crewship"


class Server:
    """The server of a run, started when first asked for."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            self._directory = Path(tempfile.mkdtemp(prefix="crewship-test-"))
            self._postgres = EmbeddedPostgres(self._directory, durable=False)
            self._connection = self._postgres.start()
        return self._connection

    def stop(self) -> None:
        if self._postgres is not None and self._directory is not None:
            self._postgres.stop()
            shutil.rmtree(self._directory, ignore_errors=True)


SERVER = pytest.StashKey[Server]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SERVER] = Server()


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER in config.stash:
        config.stash[SERVER].stop()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Runs in xdist's controller, once for each worker."""
    made: Connection = node.config.stash[SERVER].connection
    node.workerinput["postgres"] = {"port": made.port, "sockets": str(made.sockets), "passwords": made.passwords}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@dataclass(frozen=True)
class Database:
    """A database of one test or module. The application's role is the one that the product uses."""

    name: str
    server: Connection = field(repr=False)

    @property
    def url(self) -> str:
        return self.server.dsn(APPLICATION, self.name)

    @property
    def owner_url(self) -> str:
        return self.server.dsn(OWNER, self.name)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Connection:
    """The server, with the migrated template that the databases of tests are copied from."""
    given = getattr(request.config, "workerinput", {}).get("postgres")
    connection = Connection(given["port"], Path(given["sockets"]), given["passwords"]) if given else request.config.stash[SERVER].connection
    asyncio.run(_make_template(connection))
    return connection


async def _make_template(server: Connection) -> None:
    admin = await asyncpg.connect(server.dsn("postgres", "postgres"))
    try:
        await admin.execute("SELECT pg_advisory_lock(1)")  # workers start at once; the first one migrates
        if await admin.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", TEMPLATE):
            return
        await admin.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
        await admin.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
        await upgrade(server.dsn(OWNER, TEMPLATE), application_role=APPLICATION)
        await admin.execute(f"ALTER DATABASE {TEMPLATE} IS_TEMPLATE true ALLOW_CONNECTIONS false")
    finally:
        await admin.close()


async def _administer(server: Connection, *statements: str) -> None:
    admin = await asyncpg.connect(server.dsn("postgres", "postgres"))
    try:
        for statement in statements:
            await admin.execute(statement)
    finally:
        await admin.close()


def _copy(server: Connection, template: str | None) -> Iterator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    source = f"TEMPLATE {template} STRATEGY file_copy" if template else ""
    asyncio.run(_administer(server, f"CREATE DATABASE {name} OWNER {OWNER} {source}"))
    yield Database(name, server)
    asyncio.run(_administer(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(postgres: Connection) -> Iterator[Database]:
    """A fresh, migrated database for one test."""
    yield from _copy(postgres, TEMPLATE)


@pytest.fixture
def database_url(database: Database) -> str:
    """Where the application reaches a fresh, migrated database of one test."""
    return database.url


@pytest.fixture(scope="module")
def module_database(postgres: Connection) -> Iterator[Database]:
    """A fresh, migrated database that the tests of a module share."""
    yield from _copy(postgres, TEMPLATE)


@pytest.fixture(scope="module")
def module_database_url(module_database: Database) -> str:
    return module_database.url


@pytest.fixture
def empty_database(postgres: Connection) -> Iterator[Database]:
    """A database without a single table, as a first start finds it."""
    yield from _copy(postgres, None)


from tests.world import world  # noqa: E402, F401
