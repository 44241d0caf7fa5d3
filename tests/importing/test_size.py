"""The memory of an import does not grow with the database: IMPORTED_MEGABYTES chooses another size."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.importing.old_server import furnished
from tests.importing.test_command import env
from tests.process.commands import CREWSHIP
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
MEGABYTES = int(os.environ.get("IMPORTED_MEGABYTES", "120"))
ENTRY = 2_000  # bytes of a row
MORE = 48 << 20


def sized(root: Path, name: str, megabytes: int) -> int:
    old, rows = furnished(root, name), (megabytes << 20) // ENTRY
    payload = '{"text": "' + "0123456789abcdef" * (ENTRY // 16 - 12) + '"}'
    old.db.execute("PRAGMA synchronous = OFF")
    old.db.execute(
        "INSERT INTO journal_entries (id, workspace_id, ts, entry_type, severity, actor_type, summary, payload)"
        " WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)"
        f" SELECT 'j{name}' || n, 'c{name}00000000000000ws', '2026-07-02T00:00:00Z', 'note', 'info', 'system',"
        " 'entry ' || n, ? FROM n",
        (rows, payload),
    )
    old.close()
    return rows


def imported(world: World, tmp_path: Path, root: Path) -> tuple[float, int]:
    """Seconds, and the most memory of the process in bytes."""
    began = time.monotonic()
    with (tmp_path / "said").open("wb") as said:
        pid = os.posix_spawn(
            CREWSHIP[0],
            [*CREWSHIP, "import", str(root)],
            env(world, tmp_path),
            file_actions=[(os.POSIX_SPAWN_DUP2, said.fileno(), 1), (os.POSIX_SPAWN_DUP2, said.fileno(), 2)],
        )
        _, status, used = os.wait4(pid, 0)
    assert status == 0, (tmp_path / "said").read_text()
    return time.monotonic() - began, used.ru_maxrss << 10


async def test_memory_does_not_grow_with_the_database(world: World, tmp_path: Path) -> None:
    sized(tmp_path / "small", "small", 2)
    rows = await asyncio.to_thread(sized, tmp_path / "large", "large", MEGABYTES)
    _, small = await asyncio.to_thread(imported, world, tmp_path, tmp_path / "small")
    seconds, large = await asyncio.to_thread(imported, world, tmp_path, tmp_path / "large")
    size = (tmp_path / "large" / "crewship.db").stat().st_size
    speed, memory = f"{seconds:.0f} s, {rows / seconds:.0f} rows/s", f"{small >> 20} and {large >> 20} MB"
    print(f"{size >> 20} MB, {rows} rows: {speed}, memory {memory}")
    there = "SELECT count(*) FROM journal_entries WHERE workspace_id = 'clarge00000000000000ws'"
    assert await world.database.fetchval(there) == rows + 2
    assert large - small < MORE
