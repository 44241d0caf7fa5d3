"""The state of the archive of the log: what the metrics and `crewship doctor` say about it."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crewship.cli.archive_check import ANOTHER, BEGIN, MAKE, OLD, check_archive
from crewship.cli.checks import Check
from crewship.process import postgres_programs, wal_archive
from crewship.process.database import Access, StartError
from crewship.process.postgres import ADMIN, ARCHIVE_SLOT, EmbeddedPostgres
from crewship.process.postgres_child import PostgresError
from crewship.process.wal_archive import LOST, Base, Line, lines, options
from models.migrations.cluster import NOTE
from resolvers.instance import reminders
from resolvers.instance.bundles.records import ARCHIVE
from resolvers.instance.running import instance
from tests.process.commands import until
from tests.process.test_wal_archive import Archived, _children, _fetch, restored
from tests.world import World

FACTS = "CREATE TABLE instance_facts (name text PRIMARY KEY, value text NOT NULL, created_at timestamptz NOT NULL)"


@pytest.fixture
def place() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield parent
    shutil.rmtree(parent)


def state(archived: Archived) -> dict[str, Any]:
    found = archived.ask(f"SELECT value FROM instance_facts WHERE name = '{ARCHIVE}'")
    return {} if found is None else dict(json.loads(found))


def examined(archived: Archived, *, joined: bool = True) -> Check:
    assert archived.connection is not None
    access = Access(archived.connection.application, archived.connection.owner, None, joined=joined)
    return asyncio.run(check_archive(archived.folder, access))


@pytest.mark.slow
def test_a_first_base_backup_that_fails_is_tried_again_until_one_succeeds(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, attempts, backup = True, 0, wal_archive.backup

    async def failing(line: Line, *arguments: Any, **named: Any) -> Base:
        nonlocal attempts
        attempts += 1
        if fails:
            raise StartError("there is too little space for a base backup")
        return await backup(line, *arguments, **named)

    monkeypatch.setattr(wal_archive, "AGAIN", 0.05)
    monkeypatch.setattr(wal_archive, "LONGEST", 0.2)
    monkeypatch.setattr(wal_archive, "WATCHED", 0.1)
    monkeypatch.setattr(wal_archive, "backup", failing)
    server = Archived(place)
    server.connection = server.server.start()
    server.ask(FACTS)
    server.archiver = wal_archive.Archiver(server.folder, server.connection)
    try:
        until(lambda: attempts > 3 and state(server) == {"base": None, "failing": None})
        assert server.line.bases() == []
        found = examined(server)
        assert (found.ok, found.fix, "it has no base backup" in found.found) == (False, MAKE, True)
        fails = False
        until(lambda: bool(server.line.bases()))
        [base] = server.line.bases()
        until(lambda: state(server) == {"base": base.at.isoformat(), "failing": None})
        made = attempts
        found = examined(server)
        assert (found.ok, found.fix) == (True, "")
        assert "the newest base backup is 0 min old; the last log was received at 20" in found.found
        lose_receiver(server, monkeypatch)
        assert attempts == made  # no other one is made where there is one
    finally:
        server.__exit__()
    shutil.rmtree(server.folder)
    with contextlib.ExitStack() as stack:
        server.connection = server.server.start()
        stack.callback(server.server.stop)
        found = examined(server)
        assert (found.ok, found.found, found.fix) == (False, f"{server.folder} has no log of this database", BEGIN)


def lose_receiver(server: Archived, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver ends, and is started again some time later."""
    refuses, started = True, postgres_programs.started

    def refused(*arguments: Any, **named: Any) -> "subprocess.Popen[bytes]":
        if refuses:
            raise PostgresError("no process can be started")
        return started(*arguments, **named)

    monkeypatch.setattr(wal_archive, "started", refused)
    end_receiver()
    until(lambda: state(server)["failing"] == "no process can be started")
    assert state(server)["base"] is not None
    until(lambda: not examined(server).ok)
    found = examined(server)
    assert "which receives nothing (no process can be started); the newest base backup is 0 min old" in found.found
    assert found.fix == BEGIN
    assert examined(server, joined=False).ok  # nothing receives while only the examination runs the server
    refuses = False
    until(lambda: state(server)["failing"] is None)
    until(lambda: examined(server).ok)
    monkeypatch.setattr(wal_archive, "started", postgres_programs.started)
    old(server)


def old(server: Archived) -> None:
    [note] = (server.line.path / "base").glob("*.json")
    text = note.read_text()
    then = (datetime.now(UTC) - OLD - timedelta(hours=1)).isoformat()
    note.write_text(json.dumps(json.loads(text) | {"at": then}))
    found = examined(server)
    assert (found.ok, found.fix, "is 7 days old" in found.found) == (True, ANOTHER, True)
    note.write_text(text)


def test_a_receiver_that_keeps_failing_has_a_line_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also the first base backup, which each receiver tries before it ends."""
    attempts, logged = 0, "the archive receives nothing; it is tried again: no process"

    def ends(*_: Any, output: Any, **__: Any) -> Any:
        nonlocal attempts
        attempts += 1
        output.write(b"no process")
        return SimpleNamespace(wait=lambda seconds: 1)

    async def fails(*_: Any, **__: Any) -> Base:
        raise StartError("there is too little space")

    async def nothing(*_: Any) -> None:
        """No database is there for the note."""

    changed = {"AGAIN": 0.001, "begin": lambda *_: Line(tmp_path / "line"), "started": ends, "backup": fails}
    for name, value in (changed | {"_noted": nothing}).items():
        monkeypatch.setattr(wal_archive, name, value)
    (tmp_path / "line" / "wal").mkdir(parents=True)
    archiver = wal_archive.Archiver(tmp_path, None)  # type: ignore[arg-type]
    try:
        until(lambda: attempts > 20)
        assert caplog.text.count(logged) == caplog.text.count("the first base backup of the archive failed") == 1
        monkeypatch.setattr(reminders, "EVERY", 0.0)
        until(lambda: caplog.text.count(logged) > 1)
    finally:
        archiver.stopping()
        archiver.join()


@pytest.mark.slow
def test_a_lost_slot_begins_a_new_history_with_a_base_backup(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may keep one segment for an archive that is away; it needs more, so the rest is gone."""
    monkeypatch.setattr(wal_archive, "AGAIN", 0.1)
    server = Archived(place)
    server.server = EmbeddedPostgres(server.data_dir, options=options(place) | {"max_slot_wal_keep_size": "16MB"})
    with server:
        server.ask("CREATE TABLE kept (n int)")
        server.write(1)
        server.backup()
        server.write(2)
        before = server.now()
        server.write(3)
        server.switch()
        first, refuses, started = server.line, True, postgres_programs.started

        def refused(*arguments: Any, **named: Any) -> "subprocess.Popen[bytes]":
            if refuses:
                raise PostgresError("no process can be started")
            return started(*arguments, **named)

        until(lambda: len([path for path in first.wal.iterdir() if path.suffix != ".partial"]) > 1)
        monkeypatch.setattr(wal_archive, "started", refused)
        end_receiver()
        for number in range(4, 10):
            server.write(number)
            server.switch()
        between = server.now()
        until(lambda: loses_its_slot(server))
        found = examined(server)
        assert (found.ok, "lacks segments" in found.found) == (False, True)
        server.write(10)
        refuses = False
        until(lambda: len(lines(server.folder)) == 2 and bool(server.line.bases()))
        assert (server.line.identity, server.line.path != first.path) == (first.identity, True)
        [base] = server.line.bases()
        assert base.parent is None  # none of the former history carries it
        assert len(first.bases()) == 2
        server.write(11)
        server.switch()
        until(lambda: examined(server).ok)
    assert restored(server, place / "all") == list(range(1, 12))
    assert restored(server, place / "before", before) == [1, 2]
    with pytest.raises(StartError, match="has no transaction after"):  # of the time that is lost
        restored(server, place / "between", between)
    assert not EmbeddedPostgres(place / "between").cluster.exists()


def loses_its_slot(server: Archived) -> bool:
    """A checkpoint removes segments that are summarized; the server does that in its own time."""
    assert server.connection is not None
    asyncio.run(_fetch(server.connection.dsn(ADMIN), "CHECKPOINT"))
    return server.ask(LOST.replace("$1", f"'{ARCHIVE_SLOT}'")) is True


def end_receiver() -> None:
    [receiver] = [pid for pid in _children(os.getpid()) if b"receivewal" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(receiver, signal.SIGKILL)


@pytest.mark.anyio
async def test_the_metrics_say_that_an_archive_has_no_base_backup(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = "2026-12-01T00:00:00+00:00"
    facts: dict[str, list[float]] = {
        json.dumps({"base": None, "failing": None}): [0, 0],
        json.dumps({"base": at, "failing": "no space"}): [datetime.fromisoformat(at).timestamp(), 1],
    }
    for archive in (tmp_path, None):
        monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"wal_archive": archive}))
        for fact, expected in facts.items():
            await world.database.execute(NOTE, ARCHIVE, fact)
            shown = (await world.rest(None, "GET", "/metrics", workspace=None)).text.splitlines()
            found = [line.split() for line in shown if line.startswith("crewship_archive_")]
            names = ["crewship_archive_base_timestamp_seconds", "crewship_archive_failing"]
            assert [(name, float(value)) for name, value in found] == (
                list(zip(names, expected, strict=True)) if archive else []
            )
