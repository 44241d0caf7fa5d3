"""`crewship import` as an operator runs it, and as it is killed."""

import asyncio
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.importing.old_server import SECRET, OldServer, furnished
from tests.process.commands import CREWSHIP, PATIENCE, environment
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ENTRIES, PLACES = 6_000, ("north", "south", "west")
KILLS = 6
WRITES = """
    SELECT count(*) FROM pg_locks WHERE relation = 'journal_entries'::regclass AND mode = 'RowExclusiveLock'
"""


def env(world: World, tmp_path: Path) -> dict[str, str]:
    assert world.settings.database_url is not None
    return environment(
        tmp_path / "data",
        DATABASE_URL=world.settings.database_url.get_secret_value(),
        ENCRYPTION_KEY="ab" * 32,
        NEXTAUTH_SECRET="a secret of tests, long enough to be one",
        CREWSHIP_STORAGE_BASE_PATH=str(world.settings.storage_path),
    )


async def begun(world: World, tmp_path: Path, *arguments: str) -> asyncio.subprocess.Process:
    pipes: dict[str, Any] = dict.fromkeys(("stdout", "stderr"), asyncio.subprocess.PIPE)
    return await asyncio.create_subprocess_exec(
        *CREWSHIP, "import", *arguments, env=env(world, tmp_path), cwd="/", **pipes
    )


async def run(world: World, tmp_path: Path, *arguments: str) -> tuple[int | None, str, str]:
    process = await begun(world, tmp_path, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode, out.decode(), err.decode()


def filled(root: Path, name: str) -> OldServer:
    """A workspace with many rows."""
    old = furnished(root, name)
    rows = [
        (
            f"j{name}{n}",
            f"c{name}00000000000000ws",
            "2026-07-02T00:00:00Z",
            "note",
            "info",
            "system",
            "word " * 20,
            "{}",
        )
        for n in range(ENTRIES)
    ]
    old.db.execute("BEGIN")
    old.db.executemany(
        "INSERT INTO journal_entries (id, workspace_id, ts, entry_type, severity, actor_type, summary, payload)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    old.db.execute("COMMIT")
    return old


async def test_the_command_reports_to_people_and_to_programs(world: World, tmp_path: Path) -> None:
    root = furnished(tmp_path / "old", "shore").close()
    code, out, err = await run(world, tmp_path, str(root), "--dry-run")
    assert (code, err) == (0, ""), err
    assert "crews: 1 read, 1 would be imported, 0 there already, 0 left out" in out
    assert out.endswith("Nothing was written.\n")
    code, out, err = await run(world, tmp_path, str(root), "--json")
    assert (code, json.loads(out)["tables"]["crews"]["imported"]) == (0, 1), err
    assert SECRET not in out + err
    code, out, err = await run(world, tmp_path, str(tmp_path))
    assert (code, out) == (1, "")
    assert err.startswith("crewship: ")
    assert "Traceback" not in err


async def test_an_import_that_is_killed_leaves_whole_workspaces_and_can_be_repeated(
    world: World, tmp_path: Path
) -> None:
    roots = [filled(tmp_path / name, name).close() for name in PLACES]
    merged = OldServer(tmp_path / "all")
    for root in roots:
        merged.db.execute("ATTACH ? AS other", (str(root / "crewship.db"),))
        for (table,) in merged.db.execute("SELECT name FROM other.sqlite_master WHERE type = 'table'").fetchall():
            if table not in ("_migrations", "skills"):
                merged.db.execute(f"INSERT INTO main.{table} SELECT * FROM other.{table}")
        merged.db.execute("DETACH other")
    merged.close()
    (tmp_path / "all" / "secrets.env").write_bytes((roots[0] / "secrets.env").read_bytes())
    ids = [f"c{name}00000000000000ws" for name in PLACES]
    entries = "SELECT count(*) FROM journal_entries WHERE workspace_id = $1"
    killed = 0
    for _ in range(KILLS):
        process = await begun(world, tmp_path, str(tmp_path / "all"))
        while process.returncode is None and not await world.database.fetchval(WRITES):
            await asyncio.sleep(0.01)
        await asyncio.sleep(random.uniform(0, 0.6))
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            killed += 1
        await process.wait()
        while await world.database.fetchval(WRITES):
            await asyncio.sleep(0.02)
        for id in ids:
            there = await world.database.fetchval("SELECT count(*) FROM workspaces WHERE id = $1", id)
            assert await world.database.fetchval(entries, id) == (ENTRIES + 2) * there, "a half-imported workspace"
    assert killed >= KILLS // 2
    code, out, err = await run(world, tmp_path, str(tmp_path / "all"), "--json")
    assert code == 0, err
    assert [await world.database.fetchval(entries, id) for id in ids] == [ENTRIES + 2] * len(ids)
    code, out, err = await run(world, tmp_path, str(tmp_path / "all"), "--json")
    assert sum(table["imported"] for table in json.loads(out)["tables"].values()) == 0
