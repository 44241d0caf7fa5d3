"""A real PostgreSQL for each process that runs tests, and fresh copies of a migrated database.

Under xdist each worker has its own server: live events wait for every older transaction of their server, so that a
database one worker copies would hold up what another times. They belong to the controlling process, and end with it.
"""

import asyncio
import gc
import logging
import os
import re
import secrets
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION, OWNER, Connection
from tests.postgres import TEMPLATE, Server, make_template

# Whatever the shell says: without bytecode every worker and every server under test would compile the program, and the
# workers the tests, again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What a script runs in the background ignores SIGINT, and so would what is started in terminals under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LEFT_OUT = re.compile(r"\bnot (slow|thorough)\b")
MARKS = re.compile(r"^pytestmark = (\[[^]]*\]|.*)", re.MULTILINE)  # of all tests of a module
SERVERS = pytest.StashKey[list[Server]]()
READY = pytest.StashKey[Connection]()  # a server that has the template already


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all tests are collected: nothing of what is loaded goes
    config.stash[SERVERS] = []
    recording(fresh=True)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out modules whose every test `-m` deselects, which each worker would load with all cases. A module that
    the command line names is collected.
    """
    left = LEFT_OUT.findall(config.option.markexpr)
    if not left or collection_path.suffix != ".py" or str(collection_path) in _named(config):
        return None
    marks = MARKS.search(collection_path.read_text("utf-8"))
    return True if marks and any(f"pytest.mark.{mark}" in marks[1] for mark in left) else None


def _named(config: pytest.Config) -> set[str]:
    return {str(config.invocation_params.dir / argument.partition("::")[0]) for argument in config.args}


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
    if (ready := request.config.stash.get(READY, None)) is not None:
        return ready
    given = getattr(request.config, "workerinput", {}).get("postgres")
    connection = (
        Connection(given["port"], Path(given["sockets"]), given["passwords"]) if given else _new_server(request.config)
    )
    asyncio.run(make_template(connection))
    return connection


async def _administer(server: Connection, *statements: str) -> None:
    admin = await asyncpg.connect(server.dsn("postgres", "postgres"))
    try:
        for statement in statements:
            await admin.execute(statement)
    finally:
        await admin.close()


def copied(server: Connection, template: str | None) -> Iterator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    source = f"TEMPLATE {template} STRATEGY file_copy" if template else ""
    # as in a cluster of the service: the application's role makes no tables, not even temporary ones
    alone = f"REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"
    asyncio.run(_administer(server, f"CREATE DATABASE {name} OWNER {OWNER} {source}", alone))
    yield Database(name, server)
    asyncio.run(_administer(server, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database(postgres: Connection) -> Iterator[Database]:
    """A fresh, migrated database for one test."""
    yield from copied(postgres, TEMPLATE)


@pytest.fixture
def database_url(database: Database) -> str:
    """The database of one test: fresh and migrated."""
    return database.url


@pytest.fixture(scope="module")
def module_database(postgres: Connection) -> Iterator[Database]:
    """A fresh, migrated database that the tests of a module share."""
    yield from copied(postgres, TEMPLATE)


@pytest.fixture(scope="module")
def module_database_url(module_database: Database) -> str:
    return module_database.url


@pytest.fixture
def empty_database(postgres: Connection) -> Iterator[Database]:
    """A database without a single table, as a first start finds it."""
    yield from copied(postgres, None)


from tests.order import place  # noqa: E402
from tests.stalls import VARIABLE, no_stalls, recording  # noqa: E402, F401
from tests.world import world  # noqa: E402, F401


@pytest.fixture(autouse=True, scope="module")
def level_of_the_log() -> Iterator[None]:
    """Restores the log level after each module."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
