"""The embedded server: rights, secrets, and every way in which it or its owner may end."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process import postgres_child
from crewship.process.postgres import APPLICATION, OWNER, Connection, DataDirectoryHeld, EmbeddedPostgres
from crewship.process.postgres_child import PostgresError, User, binaries_for
from tests.process.commands import ROOT, until

pytestmark = pytest.mark.thorough

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="what root's server runs as can only be seen as root")
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the death of a parent is told by Linux alone")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Short, as a socket's path must be, and closed to others, parents included."""
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield parent / "data"
    shutil.rmtree(parent)


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(data_dir, durable=False)
    yield made
    made.stop()


async def _fetch(dsn: str, statement: str) -> Any:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def value(dsn: str, statement: str) -> Any:
    return asyncio.run(_fetch(dsn, statement))


def answers(dsn: str) -> bool:
    """Whoever has taken a port accepts a connection and says nothing on it."""
    try:
        return bool(value(dsn, "SELECT true"))
    except (OSError, asyncpg.PostgresError):
        return False


def postmaster(data_dir: Path) -> int:
    """0 while there is none."""
    try:
        return int((data_dir / "pg/18" / "postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return 0


@pytest.mark.slow
def test_a_cold_start_serves_over_a_private_socket(server: EmbeddedPostgres, data_dir: Path) -> None:
    connection = server.start()
    assert value(connection.application, "SELECT current_user") == APPLICATION
    assert value(connection.application, "SELECT inet_server_addr()") is None  # not TCP
    assert value(connection.owner, "SHOW server_version").startswith("18.")
    assert value(connection.owner, "SHOW data_checksums") == "on"
    private = [
        data_dir,
        data_dir / "run",
        data_dir / "run/pg",
        data_dir / "pg",
        data_dir / "pg/18",
        data_dir / "postgres.json",
        data_dir / "logs/postgres.log",
    ]
    assert {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in private} == dict.fromkeys(
        (path.name for path in private), 0
    )


def test_the_application_role_reads_and_writes_rows_and_nothing_else(server: EmbeddedPostgres) -> None:
    connection = server.start()
    for role in (connection.application, connection.owner):
        powers = "rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication"
        assert value(role, f"SELECT {powers} FROM pg_roles WHERE rolname = current_user") is False
    value(connection.owner, "CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, body text)")
    value(connection.application, "INSERT INTO notes (body) VALUES ('kept')")
    value(connection.application, "UPDATE notes SET body = 'changed'")
    assert value(connection.application, "SELECT body FROM notes") == "changed"
    for refused in (
        "CREATE TABLE more (id int)",
        "DROP TABLE notes",
        "TRUNCATE notes",
        "ALTER TABLE notes ADD x int",
        "CREATE TEMP TABLE t (id int)",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            value(connection.application, refused)


@pytest.mark.slow
def test_nobody_connects_without_the_password(server: EmbeddedPostgres) -> None:
    connection = server.start()
    wrong = Connection(connection.port, connection.sockets, dict.fromkeys(connection.passwords, "guess"))
    for role in (APPLICATION, OWNER, "postgres"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            value(wrong.dsn(role), "SELECT 1")
    assert not [password for password in connection.passwords.values() if password in repr(connection)]


def test_rows_and_port_survive_a_restart(server: EmbeddedPostgres) -> None:
    first = server.start()
    value(first.owner, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    server.stop()
    assert not answers(first.application)
    again = server.start()
    assert again == first
    assert value(again.application, "SELECT count(*) FROM kept") == 1000


def test_a_watch_that_looks_late_starts_no_second_server(server: EmbeddedPostgres) -> None:
    restarted, guard = threading.Event(), server._guard

    class Late:
        """Lets the watch of the first server in when the second one runs."""

        def __enter__(self) -> None:
            if threading.current_thread() is watch:
                restarted.wait(10)
            guard.acquire()

        def __exit__(self, *_: object) -> None:
            guard.release()

    first = server.start()
    watch = next(thread for thread in threading.enumerate() if thread.name == "postgres-watch")
    server._guard = Late()
    server.stop()
    assert server.start() == first
    running = postmaster(server.data_dir)
    restarted.set()
    watch.join(10)
    assert not watch.is_alive()
    assert postmaster(server.data_dir) == running == server._process.pid
    assert value(first.application, "SELECT 1") == 1


@pytest.mark.slow
def test_a_server_that_is_killed_comes_back_with_what_was_committed(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    connection = server.start()
    try:
        value(connection.owner, "CREATE TABLE kept AS SELECT 1 AS n")
        killed = postmaster(data_dir)
        os.kill(killed, signal.SIGKILL)
        until(lambda: postmaster(data_dir) not in (0, killed) and answers(connection.application))
        assert value(connection.application, "SELECT count(*) FROM kept") == 1
    finally:
        server.stop()


@contextlib.contextmanager
def occupied(port: int) -> Iterator[None]:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        yield


@pytest.mark.parametrize("deep", [False, True], ids=["unix socket", "loopback"])
@pytest.mark.slow
def test_a_killed_server_comes_back_where_it_was_also_when_its_port_is_taken(data_dir: Path, deep: bool) -> None:
    """Everybody holds an address from the start. A unix socket nobody can take; a port of loopback is waited for."""
    server = EmbeddedPostgres(data_dir / ("deep" * 20) if deep else data_dir)
    connection = server.start()
    try:
        killed = postmaster(server.data_dir)
        with contextlib.ExitStack() as taken:
            with server._guard:  # the port is taken before it is tried again
                os.kill(killed, signal.SIGKILL)
                until(lambda: server._process is not None and server._process.poll() is not None)
                taken.enter_context(occupied(connection.port))
            if deep:
                until(lambda: "could not bind" in (server.data_dir / "logs/postgres.log").read_text())
                assert not answers(connection.application)
            else:
                until(lambda: answers(connection.application))
        until(lambda: answers(connection.application))
        assert json.loads((server.data_dir / "postgres.json").read_text())["port"] == str(connection.port)
    finally:
        server.stop()


@pytest.mark.slow
def test_nothing_listens_on_the_network(server: EmbeddedPostgres) -> None:
    connection = server.start()
    assert value(connection.owner, "SHOW listen_addresses") == ""
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", connection.port)) != 0 or not answers(
            Connection(connection.port, None, connection.passwords).application
        )


OWNER_PROCESS = """
import sys, time
from pathlib import Path
from crewship.process.postgres import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start().owner, flush=True)
time.sleep(600)
"""


@ON_LINUX
@pytest.mark.slow
def test_a_killed_owner_takes_its_server_along_and_loses_no_row(server: EmbeddedPostgres, data_dir: Path) -> None:
    command = [sys.executable, "-c", OWNER_PROCESS, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}) as owner:
        assert owner.stdout is not None
        dsn = owner.stdout.readline().strip()
        value(dsn, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        with pytest.raises(DataDirectoryHeld, match=f"process {owner.pid} uses the data directory"):
            server.start()
        owner.kill()
    connection = server.start()  # waits for the end of the orphan
    assert value(connection.application, "SELECT count(*) FROM kept") == 1000
    assert "database system is shut down" in (data_dir / "logs/postgres.log").read_text()


@pytest.mark.slow
def test_a_pid_file_that_names_a_stranger_does_not_stop_the_start(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    running = (data_dir / "pg/18" / "postmaster.pid").read_text()
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        stale = running.replace(running.split()[0], str(stranger.pid), 1)
        (data_dir / "pg/18" / "postmaster.pid").write_text(stale)
        (data_dir / "run/pg" / ".s.PGSQL.5432.lock").write_text(stale)
        assert answers(server.start().application)
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.slow
def test_another_process_joins_a_running_server(server: EmbeddedPostgres, data_dir: Path) -> None:
    first = server.start()
    guest = EmbeddedPostgres(data_dir)
    joined = guest.start_or_join()
    assert joined.joined
    assert joined.application == first.application
    guest.stop()  # what it did not start it does not stop
    assert answers(first.application)
    server.stop()
    with pytest.raises(PostgresError, match="no PostgreSQL answers"):
        guest.join()


@pytest.mark.slow
def test_an_interrupted_first_start_is_made_again(server: EmbeddedPostgres, data_dir: Path) -> None:
    (data_dir / "pg/new" / "base").mkdir(parents=True)
    assert answers(server.start().application)
    assert not (data_dir / "pg/new").exists()


@pytest.mark.slow
def test_a_path_too_long_for_a_socket_falls_back_to_loopback(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir / ("deep" * 20), durable=False)
    try:
        connection = server.start()
        assert connection.sockets is None
        assert str(value(connection.application, "SELECT inet_server_addr()")) == "127.0.0.1"
        with pytest.raises(asyncpg.InvalidPasswordError):
            value(Connection(connection.port, None, dict.fromkeys(connection.passwords, "guess")).owner, "SELECT 1")
    finally:
        server.stop()


@pytest.mark.slow
def test_the_wrong_release_and_lost_passwords_are_explained(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    server.stop()
    credentials = data_dir / "postgres.json"
    kept = credentials.read_text()
    credentials.unlink()
    with pytest.raises(PostgresError, match=r"postgres.json .* is gone; restore it"):
        server.start()
    credentials.write_text(kept)
    (data_dir / "pg/18").rename(data_dir / "pg/19")
    with pytest.raises(PostgresError, match=r"has PostgreSQL 19, and this release runs 18: start a newer release"):
        server.start()
    assert set(json.loads(kept)) == {"postgres", OWNER, APPLICATION, "port"}


@pytest.mark.slow
def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres, data_dir: Path) -> None:
    server.start()
    server.stop()
    (data_dir / "pg/18" / "postgresql.auto.conf").write_text("shared_buffers = 'plenty'\n")
    with pytest.raises(PostgresError, match="shared_buffers"):
        server.start()


@pytest.mark.slow
@AS_ROOT
def test_root_s_server_is_not_root_and_opens_no_directory(server: EmbeddedPostgres, data_dir: Path) -> None:
    before = stat.S_IMODE(data_dir.parent.stat().st_mode)
    assert before == 0o700
    server.start()
    status = Path(f"/proc/{postmaster(data_dir)}/status").read_text()
    ids = dict(
        line.split(":\t", 1) for line in status.splitlines() if line.startswith(("Uid", "Gid", "Groups", "CapEff"))
    )
    assert "0" not in [*ids["Uid"].split(), *ids["Gid"].split(), *ids["Groups"].split()]
    assert int(ids["CapEff"], 16) == 0
    assert stat.S_IMODE(data_dir.parent.stat().st_mode) == before
    environ = Path(f"/proc/{postmaster(data_dir)}/environ").read_bytes()
    assert {pair.split(b"=")[0] for pair in environ.split(b"\0") if pair} <= {
        b"LC_ALL",
        b"PATH",
        b"PGDATA",
        b"PG_GRANDPARENT_PID",
    }


@pytest.mark.slow
@AS_ROOT
def test_programs_out_of_the_user_s_reach_are_copied(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with an environment under a home that only root may enter."""
    package = binaries_for(User()).parents[1]
    closed = data_dir.parent / "site-packages"
    shutil.copytree(package, closed / package.name, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs")
    shared = Path(tempfile.mkdtemp(prefix="crewship-"))
    monkeypatch.setattr(postgres_child, "SHARED_BINARIES", shared)
    monkeypatch.syspath_prepend(str(closed))
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    server = EmbeddedPostgres(data_dir, durable=False)
    try:
        shared.chmod(0o755)
        assert answers(server.start().application)
        program = Path(f"/proc/{postmaster(data_dir)}/exe").readlink()
        assert program.is_relative_to(shared)
        assert program.stat().st_uid == 0
    finally:
        server.stop()
        shutil.rmtree(shared)
