"""A real PostgreSQL for each process that runs tests, and fresh copies of a migrated database.

Under xdist each worker has its own server: live events wait for every older transaction of their server, so that a
database one worker copies would hold up what another times. They belong to the controlling process, and end with it.
"""

import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.postgres import APPLICATION, OWNER, Connection, EmbeddedPostgres
from models.migrations import upgrade
from runtime.dbos_tables import prepare_engine

# Whatever the shell says: without bytecode every worker and every server under test would compile the program, and the
# workers the tests, again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What a script runs in the background ignores SIGINT, and so would what is started in terminals under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TEMPLATE = "template_crewship"
PREFIX = "crewship-test-"
A_START = 60.0  # seconds until a server that begins holds its lock, at most
MEMORY = 6 << 30  # bytes; a server of tests takes up to one and a half


def _place() -> str | None:
    """In memory where there is enough: a database is a thousand files, which are copied for each test or module."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        return None
    for left in memory.glob(f"{PREFIX}*"):
        _clear(left)
    return str(memory) if shutil.disk_usage(memory).free > MEMORY else None


def _clear(left: Path) -> None:
    """What tests that were killed have left would stay in memory: nobody holds its lock any more."""
    with contextlib.suppress(OSError), (left / "postgres.lock").open() as lock:
        if time.time() - left.stat().st_mtime > A_START:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


class Server:
    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_place()))
        self._postgres = EmbeddedPostgres(self._directory, durable=False)
        self.connection = self._postgres.start()

    def stop(self) -> None:
        self._postgres.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


SERVERS = pytest.StashKey[list[Server]]()


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all tests are collected: nothing of what is loaded goes
    config.stash[SERVERS] = []
    recording(fresh=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    for server in config.stash.get(SERVERS, []):
        server.stop()
    recording().unlink(missing_ok=True)
    os.environ.pop(VARIABLE)


def _new_server(config: pytest.Config) -> Connection:
    server = Server()
    config.stash[SERVERS].append(server)
    return server.connection


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Runs in xdist's controller, once for each worker."""
    made = _new_server(node.config)
    node.workerinput["postgres"] = {"port": made.port, "sockets": str(made.sockets), "passwords": made.passwords}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)


def pytest_collection_finish() -> None:
    gc.freeze()  # a round of the collector need not walk 22,000 tests each time
    gc.enable()


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
    """The server, with the template, migrated and with the engine's tables, that tests' databases are copied from."""
    given = getattr(request.config, "workerinput", {}).get("postgres")
    connection = (
        Connection(given["port"], Path(given["sockets"]), given["passwords"]) if given else _new_server(request.config)
    )
    asyncio.run(_make_template(connection))
    return connection


async def _make_template(server: Connection) -> None:
    admin = await asyncpg.connect(server.dsn("postgres", "postgres"))
    try:
        await admin.execute(f"CREATE DATABASE {TEMPLATE} OWNER {OWNER}")
        await upgrade(server.dsn(OWNER, TEMPLATE), application_role=APPLICATION)
        await prepare_engine(server.dsn(OWNER, TEMPLATE), APPLICATION)
        # a page of the journal ends where it took too long: not because a machine is busy with tests
        await admin.execute(f"ALTER ROLE {APPLICATION} SET crewship.journal_patience = '5 s'")
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


from tests.order import place  # noqa: E402
from tests.stalls import VARIABLE, no_stalls, recording  # noqa: E402, F401
from tests.world import world  # noqa: E402, F401


@pytest.fixture(autouse=True, scope="module")
def level_of_the_log() -> Iterator[None]:
    """What one module's tests change of how much is logged, the next one's do not see."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
