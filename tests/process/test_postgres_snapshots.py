"""Snapshots of the embedded database before migrations, and the way back."""

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process import moves, postgres_snapshots, serve
from crewship.process.database import Access, StartError, note_use
from crewship.process.postgres import APPLICATION, EmbeddedPostgres
from crewship.process.postgres_child import PostgresError
from models import migrations
from models.migrations import revisions
from resolvers.live.history import KEY
from tests.process.commands import ROOT, environment, migrated, run
from tests.world import settings_for

EARLIER = "2026_12_01_8"
COUNT = "SELECT count(*) FROM workspaces"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """With a database at an earlier revision, and one workspace."""
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    data_dir = migrated(parent / "data")
    with_server(data_dir, add("before"), f"UPDATE alembic_version SET version_num = '{EARLIER}'")
    yield data_dir
    shutil.rmtree(parent)


def add(name: str) -> str:
    return (
        "INSERT INTO workspaces (id, name, slug, version, created_at, updated_at)"
        f" VALUES ('{name}', '{name}', '{name}', 1, now(), now())"
    )


async def _each(dsn: str, statements: tuple[str, ...]) -> Any:
    connection = await asyncpg.connect(dsn, server_settings={"crewship.workspaces": "*"})
    try:
        found = None
        for statement in statements:
            found = await connection.fetchval(statement)
        return found
    finally:
        await connection.close()


def with_server(data_dir: Path, *statements: str) -> Any:
    """The result of the last statement, of a server that runs for this alone."""
    server = EmbeddedPostgres(data_dir, durable=False)
    try:
        return asyncio.run(_each(server.start().owner, statements))
    finally:
        server.stop()


def migrate(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir, durable=False)
    connection = server.start()
    try:
        access = Access(connection.application, connection.owner, APPLICATION)
        settings = settings_for("", data_dir, database_url=None)
        asyncio.run(serve.migrate(settings, access, snapshot=True))
    finally:
        server.stop()


@pytest.fixture
def destructive(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Migrations that delete all workspaces, and execute the statements that a test adds."""
    more = list[str]()

    async def upgrade(dsn: str) -> None:
        delete = "DELETE FROM workspaces"
        await _each(dsn, (delete, f"UPDATE alembic_version SET version_num = '{migrations.head()}'", *more))

    monkeypatch.setattr(revisions, "upgrade", upgrade)
    return more


@pytest.mark.slow
def test_a_regretted_migration_is_reverted_and_the_revert_too(data_dir: Path, destructive: list[str]) -> None:
    before = with_server(data_dir, KEY)
    migrate(data_dir)
    assert with_server(data_dir, COUNT) == 0
    [snapshot] = postgres_snapshots.found(data_dir)
    assert (snapshot.revision, snapshot.whole) == (EARLIER, True)
    note_use(settings_for("", data_dir, database_url=None))

    done = run("postgres", "revert", env=environment(data_dir))
    assert done.returncode == 0, done.stderr
    assert f"It is at revision {EARLIER}" in done.stdout
    assert with_server(data_dir, "SELECT version_num FROM alembic_version") == EARLIER
    assert with_server(data_dir, COUNT) == 1
    epochs = {before, with_server(data_dir, KEY)}

    listed = json.loads(run("postgres", "snapshots", "--json", env=environment(data_dir)).stdout)
    assert [each["revision"] for each in listed] == [None]
    with_server(data_dir, add("after"))
    assert run("postgres", "revert", env=environment(data_dir)).returncode == 0
    assert with_server(data_dir, COUNT) == 0
    epochs.add(with_server(data_dir, KEY))
    assert run("postgres", "revert", env=environment(data_dir)).returncode == 0
    assert with_server(data_dir, COUNT) == 2
    epochs.add(with_server(data_dir, KEY))
    assert len(epochs) == 4  # no cursor of one history fits another
    assert run("postgres", "snapshots", "--delete", env=environment(data_dir)).returncode == 0
    assert postgres_snapshots.found(data_dir) == []


@pytest.mark.slow
def test_attempts_of_a_migration_that_fails_share_one_snapshot(data_dir: Path, destructive: list[str]) -> None:
    settings = settings_for("", data_dir, database_url=None)
    destructive.append("SELECT 1 / 0")
    for _ in range(2):
        with pytest.raises(asyncpg.DivisionByZeroError):
            migrate(data_dir)
        with_server(data_dir, f"UPDATE alembic_version SET version_num = '{EARLIER}'")
    [first] = postgres_snapshots.found(data_dir)
    postgres_snapshots.revert(data_dir)
    assert with_server(data_dir, COUNT) == 1

    with_server(data_dir, add("served"))
    note_use(settings)
    with pytest.raises(asyncpg.DivisionByZeroError):
        migrate(data_dir)
    [second] = postgres_snapshots.found(data_dir)  # of now; both earlier ones are gone
    assert second.path != first.path
    postgres_snapshots.revert(data_dir)
    assert with_server(data_dir, COUNT) == 2


@pytest.mark.slow
def test_no_snapshot_without_space_and_none_that_is_damaged(
    data_dir: Path, destructive: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:
        full.setattr(postgres_snapshots, "has_room", lambda folder, size: False)
        with pytest.raises(StartError, match=r"too little space in .* MB are needed; .*--no-snapshot"):
            migrate(data_dir)
    assert with_server(data_dir, COUNT) == 1  # no migration without it
    migrate(data_dir)
    [snapshot] = postgres_snapshots.found(data_dir)
    changed = max(snapshot.cluster.glob("base/*/*"), key=lambda path: path.stat().st_size)
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    refused = run("postgres", "revert", env=environment(data_dir))
    assert (refused.returncode, "is damaged, and nothing was changed" in refused.stderr) == (1, True), refused.stderr
    assert changed.name in refused.stderr
    assert with_server(data_dir, COUNT) == 0


REVERT = """
import sys
from pathlib import Path
from crewship.process.postgres_snapshots import revert
print("begins", flush=True)
revert(Path(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_revert_leaves_one_database_or_the_other(data_dir: Path, destructive: list[str]) -> None:
    migrate(data_dir)
    chosen = random.Random(7)
    for delay in [chosen.uniform(0, 2.5) for _ in range(8)]:
        source = postgres_snapshots.found(data_dir)
        assert source
        command = [sys.executable, "-c", REVERT, str(data_dir)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}) as reverting:
            assert reverting.stdout is not None
            reverting.stdout.readline()
            time.sleep(delay)
            reverting.send_signal(signal.SIGKILL)
        assert with_server(data_dir, COUNT) in (0, 1)
    while postgres_snapshots.revert(data_dir) is None:
        pass
    counts = {with_server(data_dir, COUNT)}
    postgres_snapshots.revert(data_dir)
    assert counts | {with_server(data_dir, COUNT)} == {0, 1}  # both are whole


def test_a_revert_without_snapshot_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartError, match="there is no snapshot in"):
        postgres_snapshots.revert(tmp_path)
    assert not (tmp_path / "pg").exists()


@pytest.mark.parametrize("done", [0, 1, 2])
def test_moves_are_finished_from_every_moment(tmp_path: Path, done: int, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pg"
    for name in ("new", "current"):
        (folder / name).mkdir(parents=True)
        (folder / name / "of").write_text(name)
    renamed, original = 0, Path.rename

    def dies(path: Path, target: Any) -> Path:
        nonlocal renamed
        if renamed == done:
            raise PostgresError("killed")
        renamed += 1
        return original(path, target)

    def swap() -> None:
        moves.move(folder, [(folder / "current", folder / "old" / "current"), (folder / "new", folder / "current")])

    with monkeypatch.context() as killed:
        killed.setattr(Path, "rename", dies)
        if done == 2:
            swap()
        else:
            with pytest.raises(PostgresError):
                swap()
    assert moves.are_left(folder) == (done < 2)
    moves.finish(folder)
    moves.finish(folder)
    assert (folder / "current" / "of").read_text() == "new"
    assert (folder / "old" / "current" / "of").read_text() == "current"
    assert sorted(os.listdir(folder)) == ["current", "old"]
