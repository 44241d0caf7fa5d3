"""Data of an earlier major version of PostgreSQL, and the layout of earlier releases."""

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

from crewship.process import postgres_snapshots, postgres_upgrade
from crewship.process.database import Access
from crewship.process.postgres import APPLICATION, EmbeddedPostgres
from crewship.process.postgres_child import PostgresError
from resolvers.instance.bundles.records import REHEARSED
from tests.postgres import OLDEST, Postgres
from tests.process.commands import ROOT, environment, run

WITH_FORMER = pytest.mark.skipif(
    not all((OLDEST / name).exists() for name in postgres_upgrade.NEEDED),
    reason=f"the programs of PostgreSQL 15 are not in {OLDEST}",
)
FACTS = "CREATE TABLE instance_facts (name text PRIMARY KEY, value text)"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Closed to others, parents included."""
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield parent / "data"
    shutil.rmtree(parent)


async def _each(dsn: str, statements: tuple[str, ...]) -> Any:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        found = None
        for statement in statements:
            found = await connection.fetchval(statement)
        return found
    finally:
        await connection.close()


def asked(server: EmbeddedPostgres, *statements: str) -> Any:
    """The result of the last statement, of a server that runs for this alone."""
    try:
        return asyncio.run(_each(server.start().owner, statements))
    finally:
        server.stop()


def of_15(data_dir: Path) -> EmbeddedPostgres:
    return Postgres(data_dir, OLDEST)


def present(data_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, durable=False, former=OLDEST)


SUM = "SELECT (count(*), sum(n), (SELECT count(*) FROM pg_indexes WHERE indexname = 'kept_n'))::text FROM kept"
FILLED = ("CREATE TABLE kept AS SELECT generate_series(1, 50000) AS n", "CREATE INDEX kept_n ON kept (n)")


@WITH_FORMER
@pytest.mark.slow
def test_data_of_an_earlier_major_version_is_upgraded_and_the_former_kept(data_dir: Path) -> None:
    before = asked(of_15(data_dir), *FILLED, FACTS, SUM)
    passwords = (data_dir / "postgres.json").read_text()
    assert os.listdir(data_dir / "pg") == ["15"]
    assert asked(present(data_dir), SUM) == before
    assert asked(present(data_dir), "SHOW server_version").startswith("18.")
    assert asked(present(data_dir), "SELECT current_user") == "crewship_owner"
    assert json.loads((data_dir / "postgres.json").read_text()) == json.loads(passwords)
    assert sorted(os.listdir(data_dir / "pg")) == ["18", "snapshots"]
    [former] = postgres_snapshots.found(data_dir)
    assert former.major == "15"
    asked(present(data_dir), "DELETE FROM kept")

    refused = run("postgres", "revert", "19990101", env=environment(data_dir))
    assert (refused.returncode, former.path.name in refused.stderr) == (1, True)
    done = run("postgres", "revert", env=environment(data_dir))
    assert (done.returncode, "of PostgreSQL 15" in done.stdout) == (0, True), done.stderr
    assert sorted(os.listdir(data_dir / "pg")) == ["15", "snapshots"]
    assert asked(of_15(data_dir), SUM) == before
    assert asked(present(data_dir), SUM) == before  # the upgrade again


@WITH_FORMER
@pytest.mark.slow
def test_the_former_data_goes_when_a_later_backup_was_rehearsed(data_dir: Path) -> None:
    asked(of_15(data_dir), FACTS)
    server = present(data_dir)
    connection = server.start()
    try:
        access = Access(connection.application, connection.owner, APPLICATION)

        def rehearsed(at: datetime, *, ok: bool) -> list[str]:
            noted = json.dumps({"created_at": at.isoformat(), "ok": ok, "seconds": 1})
            kept = f"INSERT INTO instance_facts VALUES ('{REHEARSED}', '{noted}')"
            asyncio.run(_each(connection.owner, ("DELETE FROM instance_facts", kept)))
            asyncio.run(postgres_snapshots.drop_proved(data_dir, access))
            return [snapshot.major for snapshot in postgres_snapshots.found(data_dir)]

        now = datetime.now(UTC)
        asyncio.run(postgres_snapshots.drop_proved(data_dir, access))
        assert rehearsed(now - timedelta(days=1), ok=True) == ["15"]
        assert rehearsed(now + timedelta(days=1), ok=False) == ["15"]
        assert rehearsed(now + timedelta(days=1), ok=True) == []
    finally:
        server.stop()


START = """
import sys
from pathlib import Path
from crewship.process.postgres import EmbeddedPostgres
print("begins", flush=True)
EmbeddedPostgres(Path(sys.argv[1]), durable=False, former=Path(sys.argv[2])).start()
"""


@WITH_FORMER
@pytest.mark.slow
def test_a_killed_upgrade_begins_again(data_dir: Path) -> None:
    before = asked(of_15(data_dir), *FILLED, SUM)
    for delay in (0.3, 1, 2, 3, 4.5, 6, 8):
        command = [sys.executable, "-c", START, str(data_dir), str(OLDEST)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(ROOT)}) as starting:
            assert starting.stdout is not None
            starting.stdout.readline()
            time.sleep(delay)
            starting.send_signal(signal.SIGKILL)
        assert (data_dir / "pg/18").exists() != (data_dir / "pg/15").exists()
    assert asked(present(data_dir), SUM) == before
    assert sorted(os.listdir(data_dir / "pg")) == ["18", "snapshots"]


@WITH_FORMER
@pytest.mark.slow
def test_data_that_cannot_be_upgraded_stays(data_dir: Path) -> None:
    server = of_15(data_dir)
    asked(server, "CREATE TABLE kept AS SELECT 1 AS n")
    connection = server.start()
    asyncio.run(_each(connection.dsn("postgres"), ("CREATE TABLE typed (n regproc)",)))  # which pg_upgrade refuses
    server.stop()
    unchanged = r"PostgreSQL 15 cannot be upgraded, and its data is unchanged: .* reg\* data types .*public\.typed\.n"
    with pytest.raises(PostgresError, match=unchanged):
        present(data_dir).start()
    assert os.listdir(data_dir / "pg") == ["15"]
    assert asked(of_15(data_dir), "SELECT count(*) FROM kept") == 1


def test_a_server_without_the_former_programs_says_so(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "pg/17").mkdir(parents=True)
    (data_dir / "pg/17/PG_VERSION").write_text("17\n")
    with pytest.raises(PostgresError, match=r"has data of PostgreSQL 17, .* set CREWSHIP_POSTGRES_FORMER"):
        EmbeddedPostgres(data_dir, former=tmp_path).start()
    assert os.listdir(data_dir / "pg/17") == ["PG_VERSION"]


@pytest.mark.slow
def test_the_cluster_of_an_earlier_release_moves_once(data_dir: Path) -> None:
    asked(present(data_dir), "CREATE TABLE kept AS SELECT 7 AS n")
    (data_dir / "pg/18").rename(data_dir / "postgres")
    assert EmbeddedPostgres(data_dir).is_made
    assert asked(present(data_dir), "SELECT n FROM kept") == 7
    assert not (data_dir / "postgres").exists()
    shutil.copytree(data_dir / "pg/18", data_dir / "postgres")
    with pytest.raises(PostgresError, match="both have a database"):
        present(data_dir).start()
