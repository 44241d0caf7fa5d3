"""The servers that tests run on: of this release's programs, or of those in another folder."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg

from crewship.process.postgres import APPLICATION, OWNER, Connection, EmbeddedPostgres
from crewship.process.postgres_child import User
from models.migrations import upgrade
from runtime.engine.dbos_tables import prepare_engine

TEMPLATE = "template_crewship"
PREFIX = "crewship-test-"
A_START = 60.0  # seconds until a server that begins holds its lock, at most
MEMORY = 6 << 30  # bytes; a server of tests takes up to one and a half
VARIABLE = "TEST_POSTGRES"
"""The folder of `postgres` and `initdb` for tests, instead of this release's (make test-databases)."""
OLDEST = Path("/usr/lib/postgresql/15/bin")  # where Debian has it
BUILT_IN_LOCALES = 17  # the first release that has them


def release_of(programs: Path) -> int:
    said = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+", said)
    assert found is not None, said
    return int(found.group())


class Postgres(EmbeddedPostgres):
    """A server of tests, of the programs in a folder."""

    def __init__(self, data_dir: Path, programs: Path) -> None:
        super().__init__(data_dir, durable=False)
        self._programs = programs
        release = release_of(programs)
        self.major = str(release)
        if release < BUILT_IN_LOCALES:
            self.locale = ("--encoding=UTF8", "--locale=C")

    def binaries(self, user: User) -> Path:
        return self._programs


def _place() -> str | None:
    """In memory where there is enough: a database is a thousand files, which are copied for each test or module."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        return None
    for left in memory.glob(f"{PREFIX}*"):
        _clear(left)
    return str(memory) if shutil.disk_usage(memory).free > MEMORY else None


def _clear(left: Path) -> None:
    """Removes the remains of killed tests from memory: their lock is free."""
    with contextlib.suppress(OSError), (left / "postgres.lock").open() as lock:
        if time.time() - left.stat().st_mtime > A_START:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)


class Server:
    """A server in a folder of its own. `programs`: in place of TEST_POSTGRES's or this release's."""

    def __init__(self, programs: Path | None = None) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_place()))
        chosen = programs or (Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None)
        self._postgres = (
            EmbeddedPostgres(self._directory, durable=False) if chosen is None else Postgres(self._directory, chosen)
        )
        self.connection = self._postgres.start()

    def stop(self) -> None:
        self._postgres.stop()
        shutil.rmtree(self._directory, ignore_errors=True)


async def make_template(server: Connection) -> None:
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
