"""Time and size of snapshots, base backups and restores of the embedded PostgreSQL.

Writes the table of docs/embedded-postgres.md to EMBEDDED_TABLE, for EMBEDDED_MB of rows.
"""

import asyncio
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from crewship.process import postgres_snapshots
from crewship.process.database import existing_database
from crewship.process.postgres import EmbeddedPostgres
from crewship.process.wal_archive import lines
from models import migrations
from resolvers.instance.settings import load_settings
from tests.process.commands import environment, migrated, run, serving, until

pytestmark = pytest.mark.slow
MB = 1_000_000
SIZE = int(os.environ.get("EMBEDDED_MB", "48"))
ROW = 4_000
PATIENCE = 3600.0
MOST_MEMORY = 16  # MB of the receiver
FULL = "full base backup"
INCREMENTAL = "incremental base backup after 1 % of the rows changed"
FILLED = """
    CREATE TABLE kept AS SELECT n, (
        SELECT string_agg(md5(n::text || ' ' || part), '') FROM generate_series(1, $2::int / 32) part
    ) AS content FROM generate_series(1, $1::int) n
"""
CHANGED = "UPDATE kept SET content = reverse(content) WHERE n <= $1::int"


def asked(dsn: str, statement: str, *values: Any) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement, *values, timeout=PATIENCE)
        finally:
            await connection.close()

    return asyncio.run(ask())


def size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Steps:
    def __init__(self) -> None:
        self.taken: dict[str, tuple[float, int | None]] = {}

    @contextmanager
    def step(self, name: str, folder: Path | None = None) -> Iterator[None]:
        before, began = size_below(folder) if folder is not None and folder.exists() else 0, time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.taken[name] = (seconds, None if folder is None else (size_below(folder) - before) // MB)

    def table(self) -> str:
        rows = [
            f"| {name} | {seconds:.1f} s | {'' if size is None else f'{size:,} MB'} |\n"
            for name, (seconds, size) in self.taken.items()
        ]
        return "| | time | size |\n| --- | --- | --- |\n" + "".join(rows)


def called(env: dict[str, str], *arguments: str) -> str:
    done = run("postgres", *arguments, env=env, within=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


def memory_of_receiver(pid: int) -> int:
    """The most that it has had, in MB."""
    [found] = [each for each in psutil.Process(pid).children(recursive=True) if "receivewal" in each.name()]
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{found.pid}/status").read_text())
    assert peak is not None
    return int(peak[1]) // 1000


def test_what_snapshots_base_backups_and_restores_take(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Path(tempfile.mkdtemp(prefix="crewship-"))
    try:
        steps, memory = measured(directory, monkeypatch)
    finally:
        shutil.rmtree(directory)
    shown = steps.table() + f"\nThe receiver of the archive takes {memory} MB of memory.\n"
    print(shown)
    if (table := os.environ.get("EMBEDDED_TABLE")) is not None:
        Path(table).write_text(shown)
    sizes = {name: size or 0 for name, (_, size) in steps.taken.items()}
    assert memory < MOST_MEMORY
    assert sizes["snapshot"] > SIZE
    assert sizes[FULL] > SIZE
    assert sizes[INCREMENTAL] < sizes[FULL] / 2


def measured(directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Steps, int]:
    data_dir, archive, steps, count = migrated(directory / "data"), directory / "archive", Steps(), SIZE * MB // ROW
    env = environment(data_dir, CREWSHIP_WAL_ARCHIVE=str(archive))
    monkeypatch.setenv("CREWSHIP_DATA_DIR", str(data_dir))
    with existing_database(load_settings()) as access:
        asked(access.owner, FILLED, count, ROW)
        asked(access.owner, "VACUUM ANALYZE kept")
        with steps.step("snapshot", data_dir / "pg" / "snapshots"):
            asyncio.run(postgres_snapshots.take(data_dir, access, migrations.head()))
        asked(access.owner, "DELETE FROM kept WHERE n = 1")
    with steps.step("revert to it, with its verification"):
        called(env, "revert")
    with serving(env=env) as served:
        until(lambda: bool(lines(archive)) and bool(lines(archive)[-1].bases()), within=PATIENCE)
        with steps.step(FULL, lines(archive)[-1].path / "base"):
            called(env, "backup", "--full")
        owner = EmbeddedPostgres(data_dir).join().owner
        assert asked(owner, "SELECT count(*) FROM kept") == count
        asked(owner, CHANGED, count // 100)
        with steps.step(
            "incremental base backup after 1 % of the rows changed", archive / lines(archive)[-1].path / "base"
        ):
            called(env, "backup")
        moment = datetime.now(UTC)
        time.sleep(0.1)
        asked(owner, "DELETE FROM kept")
        memory = memory_of_receiver(served.process.pid)
        assert served.end() == 0
    with steps.step("restore to a moment, from a full and an incremental base backup"):
        called(env, "restore", "--until", moment.isoformat())
    with existing_database(load_settings()) as access:
        assert asked(access.owner, "SELECT count(*) FROM kept") == count
    with steps.step("revert of that restore"):
        called(env, "revert")
    with existing_database(load_settings()) as access:
        assert asked(access.owner, "SELECT count(*) FROM kept") == 0
    assert [entry["kind"] for entry in json.loads(called(env, "archive", "--json"))] == ["full", "full", "incremental"]
    return steps, memory
