"""The archive of the embedded server's log: what was acknowledged comes back, as of any moment."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from crewship.cli.main import app
from crewship.process import wal_archive, wal_restore
from crewship.process.database import StartError, database
from crewship.process.postgres import ADMIN, Connection, EmbeddedPostgres
from crewship.process.postgres_child import PostgresError
from crewship.process.postgres_programs import started
from crewship.process.wal_archive import Archiver, Line, backup_running, lines, options
from resolvers.live.history import KEY
from tests.process.commands import ROOT, environment, run, until
from tests.world import settings_for


@pytest.fixture
def place() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield parent
    shutil.rmtree(parent)


class Archived:
    """A server with an archive."""

    def __init__(self, place: Path, name: str = "data") -> None:
        self.data_dir, self.folder = place / name, place / "archive"
        self.server = EmbeddedPostgres(self.data_dir, options=options(place))
        self.connection: Connection | None = None

    def __enter__(self) -> "Archived":
        self.connection = self.server.start()
        self.archiver = Archiver(self.folder, self.connection)
        until(lambda: bool(self.line.bases()))
        return self

    def __exit__(self, *_: object) -> None:
        self.archiver.stopping()
        self.server.stop()
        self.archiver.join()

    @property
    def line(self) -> Line:
        return lines(self.folder)[-1]

    def ask(self, statement: str) -> Any:
        assert self.connection is not None
        return asyncio.run(_fetch(self.connection.owner, statement))

    def write(self, *numbers: int) -> None:
        for number in numbers:
            self.ask(f"INSERT INTO kept VALUES ({number})")

    def switch(self) -> None:
        """Begins another segment."""
        assert self.connection is not None
        asyncio.run(_fetch(self.connection.dsn(ADMIN), "SELECT pg_switch_wal()"))

    def now(self) -> datetime:
        moment: datetime = self.ask("SELECT clock_timestamp()")
        return moment

    def backup(self, *, full: bool = False) -> None:
        assert self.connection is not None
        asyncio.run(backup_running(self.folder, self.connection, full=full))


async def _fetch(dsn: str, statement: str) -> Any:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def kept(data_dir: Path) -> list[int]:
    server = EmbeddedPostgres(data_dir)
    try:
        found: list[int] = asyncio.run(_fetch(server.start().owner, "SELECT array_agg(n ORDER BY n) FROM kept"))
        return found
    finally:
        server.stop()


def restored(archived: Archived, data_dir: Path, moment: datetime | None = None) -> list[int]:
    wal_restore.restore(data_dir, wal_restore.choose(archived.folder, moment), moment, archived.folder)
    return kept(data_dir)


@pytest.mark.slow
def test_the_database_comes_back_as_it_was_at_any_moment(place: Path) -> None:
    with Archived(place) as archived:
        archived.ask("CREATE TABLE kept (n int)")
        archived.write(1)
        first = archived.now()
        archived.write(2)
        archived.backup()
        archived.write(3)
        second = archived.now()
        archived.ask("DELETE FROM kept")
        archived.write(4)
        archived.switch()
        epoch = archived.ask(KEY)
    assert [base.parent is None for base in archived.line.bases()] == [True, False]
    elsewhere = place / "elsewhere"
    assert restored(archived, elsewhere, first) == [1]
    assert restored(archived, archived.data_dir, second) == [1, 2, 3]
    with Archived(place) as again:
        assert again.ask("SELECT pg_is_in_recovery()") is False
        assert again.ask(KEY) != epoch  # no cursor of before fits
        assert len(lines(again.folder)) == 2  # a history of its own, with a base backup of its own
        again.write(5)
    assert restored(again, place / "all") == [1, 2, 3, 5]
    done = run("postgres", "revert", env=environment(archived.data_dir))
    assert done.returncode == 0, done.stderr
    assert kept(archived.data_dir) == [4]  # the restore was taken back
    with pytest.raises(StartError, match=r"no base backup in .* was complete at"):
        wal_restore.choose(archived.folder, first - timedelta(hours=1))
    env = environment(place / "late", CREWSHIP_WAL_ARCHIVE=str(archived.folder))
    late = run("postgres", "restore", "--until", (datetime.now(UTC) + timedelta(days=1)).isoformat(), env=env)
    assert (late.returncode, "has no transaction after" in late.stderr) == (1, True), late.stderr
    assert not EmbeddedPostgres(place / "late").is_made


@pytest.mark.slow
def test_changed_and_cut_files_are_refused(place: Path) -> None:
    with Archived(place) as archived:
        archived.ask("CREATE TABLE kept AS SELECT 1 AS n")
        for _ in range(3):
            archived.ask("INSERT INTO kept SELECT generate_series(1, 1000)")
            archived.switch()
        until(lambda: len(list(archived.line.wal.glob("*"))) > 3)
    target, segments = place / "target", sorted(archived.line.wal.glob("*[0-9A-F]"))

    def refusal() -> str:
        with pytest.raises(StartError) as refused:
            wal_restore.restore(target, wal_restore.choose(archived.folder, None), None, archived.folder)
        assert not EmbeddedPostgres(target).cluster.exists()
        return str(refused.value)

    def with_change(path: Path, change: bytes | None, said: str) -> None:
        before = path.read_bytes()
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change)
        found = refusal()
        assert said in found
        assert path.name[:24] in found
        path.write_bytes(before)

    middle = segments[-2]
    content = middle.read_bytes()
    with_change(middle, content[:-8192], "is cut")
    with_change(middle, None, "has a gap")
    with_change(middle, content[:60] + bytes([content[60] ^ 1]) + content[61:], "is damaged")
    [base] = archived.line.bases()
    changed = max(base.path.glob("base/*/*"), key=lambda path: path.stat().st_size)
    content = changed.read_bytes()
    with_change(changed, content[:100] + bytes([content[100] ^ 1]) + content[101:], "is damaged")
    assert len(restored(archived, target)) == 3001


SERVER = """
import sys, time
from pathlib import Path
from crewship.process.postgres import EmbeddedPostgres
from crewship.process.postgres_child import PostgresError
from crewship.process.postgres_programs import started
from crewship.process.wal_archive import Archiver, options
place = Path(sys.argv[1])
connection = EmbeddedPostgres(place / "data", options=options(place)).start()
archiver = Archiver(place / "archive", connection)
print(connection.owner, flush=True)
time.sleep(600)
"""


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


async def _write_until_killed(dsn: str, process: "subprocess.Popen[str]") -> tuple[dict[int, float], float]:
    """The numbers that were acknowledged, with their time, and the time of the kill."""
    acknowledged = dict[int, float]()
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
    first = await connection.fetchval("SELECT coalesce(max(n), 0) FROM kept") + 1
    killed, ends = 0.0, time.monotonic() + 4
    for number in range(first, first + 1_000_000):
        if not killed and time.monotonic() > ends:
            killed = time.monotonic()
            for pid in (*_children(process.pid), process.pid):  # also the receiver and PostgreSQL
                os.kill(pid, signal.SIGKILL)
        try:
            await connection.execute("INSERT INTO kept VALUES ($1)", number, timeout=5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError):
            break
        acknowledged[number] = time.monotonic()
    return acknowledged, killed


@pytest.mark.slow
def test_a_killed_server_loses_no_more_of_its_archive_than_a_second(place: Path) -> None:
    acknowledged, killed = dict[int, float](), 0.0
    for _ in range(3):  # goes on in the same archive
        command = [sys.executable, "-c", SERVER, str(place)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)}) as process:
            assert process.stdout is not None
            dsn = process.stdout.readline().strip()
            until(lambda: bool(lines(place / "archive")) and bool(lines(place / "archive")[-1].bases()))
            more, killed = asyncio.run(_write_until_killed(dsn, process))
            acknowledged |= more
        until(lambda: not EmbeddedPostgres(place / "data").is_made or not _runs(place / "data"))
    assert len(lines(place / "archive")) == 1
    disk = place / "data"
    disk.rename(place / "lost")  # the machine is lost, and the archive is not
    archived = Archived(place)
    found = set(restored(archived, place / "data"))
    promised = {number for number, at in acknowledged.items() if at < killed - 1}
    assert len(promised) > 100
    assert promised - found == set()
    assert sorted(found) == list(range(1, max(found) + 1))


def _runs(data_dir: Path) -> bool:
    return any(
        os.readlink(entry / "cwd") == str(EmbeddedPostgres(data_dir).cluster)
        for entry in Path("/proc").glob("[0-9]*")
        if os.path.lexists(entry / "cwd") and os.access(entry / "cwd", os.R_OK)
    )


@pytest.mark.slow
def test_a_receiver_that_ended_is_started_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = 2

    def refused(*arguments: Any, **named: Any) -> "subprocess.Popen[bytes]":
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise PostgresError("no process can be started")
        return started(*arguments, **named)

    monkeypatch.setattr(wal_archive, "AGAIN", 0.1)
    with Archived(place) as archived:
        monkeypatch.setattr(wal_archive, "started", refused)
        [receiver] = [
            pid for pid in _children(os.getpid()) if b"receivewal" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(receiver, signal.SIGKILL)
        archived.ask("CREATE TABLE kept AS SELECT 1 AS n")
        archived.backup()  # waits until the archive has its log
    assert refusals < 0
    assert restored(archived, place / "new") == [1]


@pytest.mark.slow
def test_base_backups_are_deleted_with_the_log_that_only_they_need(place: Path) -> None:
    with Archived(place) as archived:
        archived.ask("CREATE TABLE kept AS SELECT 1 AS n")
        archived.backup()
        archived.switch()
        archived.backup(full=True)
        archived.write(2)
        before = len(list(archived.line.wal.iterdir()))
        gone = wal_restore.free(archived.folder, 1)
        assert len(gone) == 2
        assert not any(path.exists() for path in gone)
        assert len(list(archived.line.wal.iterdir())) < before
    assert restored(archived, place / "new") == [1, 2]


@pytest.mark.slow
def test_without_the_setting_nothing_is_kept_for_an_archive(place: Path) -> None:
    settings = settings_for("", place / "data", database_url=None, wal_archive=place / "archive")
    with database(settings, archived=True) as access:
        until(lambda: bool(lines(place / "archive")[-1].bases()))
        assert asyncio.run(_fetch(access.owner, "SELECT count(*) FROM pg_replication_slots")) == 1
        assert asyncio.run(_fetch(access.owner, "SHOW summarize_wal")) == "on"
    with database(settings.model_copy(update={"wal_archive": None}), archived=True) as access:
        assert asyncio.run(_fetch(access.owner, "SELECT count(*) FROM pg_replication_slots")) == 0
        assert asyncio.run(_fetch(access.owner, "SHOW summarize_wal")) == "off"


def test_commands_name_what_is_missing(tmp_path: Path) -> None:
    env = {"CREWSHIP_DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": "", "CREWSHIP_WAL_ARCHIVE": ""}
    for command in ("archive", "restore", "backup"):
        called = CliRunner().invoke(app, ["postgres", command], env=env)
        assert (called.exit_code, "set CREWSHIP_WAL_ARCHIVE" in called.stderr) == (1, True)
    elsewhere = CliRunner().invoke(app, ["postgres", "archive"], env=env | {"DATABASE_URL": "postgresql://a@b/c"})
    assert (elsewhere.exit_code, "DATABASE_URL is set" in elsewhere.stderr) == (1, True)
    with pytest.raises(StartError, match="there is no base backup in"):
        wal_restore.choose(tmp_path, None)
    with pytest.raises(StartError, match="is not a time: write it like"):
        wal_restore.parsed("yesterday")
    assert wal_restore.parsed("2026-12-01T14:03:00") == datetime(2026, 12, 1, 14, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["02", "03", "04.partial"], None),
        (["02", "04.partial"], "000000010000000000000003 is missing"),
        (["03"], "000000010000000000000002 is missing"),
        ([], "000000010000000000000002 is missing"),
    ],
)
def test_a_gap_in_the_log_is_found(tmp_path: Path, names: list[str], said: str | None) -> None:
    line = tmp_path / "7-1-1"
    (line / "wal").mkdir(parents=True)
    (line / "base").mkdir()
    (line / "began").touch()
    note = {"at": "2026-12-01T00:00:00+00:00", "parent": None, "start": "0/2000028", "end": "0/2000100", "size": 1}
    (line / "base" / "20261201.json").write_text(json.dumps(note))
    for name in names:
        with open(line / "wal" / f"0000000100000000000000{name}", "wb") as segment:
            segment.truncate(16 << 20)
    if said is None:
        assert [path.name[22:] for path in wal_restore.choose(tmp_path, None).segments] == names
    else:
        with pytest.raises(StartError, match=said):
            wal_restore.choose(tmp_path, None)
