"""What a backup of an instance costs: time, size, and the memory of the largest process.

`make backups` runs it with ten gigabytes (BACKUP_MB), and writes bench/backup.md.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from crewship.process.bundles import EVERYTHING
from crewship.process.database import Access, existing_database
from resolvers.instance.settings import load_settings
from resolvers.kernel.store.connection import connect
from tests.process.commands import CREWSHIP, environment, serving
from tests.process.ships import Ship, ask

pytestmark = pytest.mark.slow
MB = 1_000_000
SIZE = int(os.environ.get("BACKUP_MB", "64"))
ROWS = 0.3
"""The part of the size that is rows of the database; the rest are files."""
ROW = 4_000
"""Bytes of a message, of hexadecimal digits."""
FILE = 8 * MB
MOST_MEMORY = 400  # MB
PATIENCE = 7200.0
FILLED = """
    INSERT INTO messages (id, workspace_id, chat_id, seq, agent_id, role, content)
    SELECT 'msg_' || lpad(n::text, 12, '0'), $2, $3, n, $4, 'user',
        (SELECT string_agg(md5(n::text || ' ' || part), '') FROM generate_series(1, $5::int / 32) part)
    FROM generate_series(1, $1::bigint) n
"""
HEAD = """# Backups of an instance

An instance of {size:,} MB, {rows:,} MB of them rows and the rest files of 8 MB whose contents are random, written by
`make backups` at a load of {load:.0f} on {cores} cores, on one disk. Memory is the peak of the largest process of the
command, without PostgreSQL.

| step | seconds | MB a second | MB on the disk | MB of memory |
| --- | --: | --: | --: | --: |
"""
FOOT = """
- **RPO**: a bundle is of the moment at which it was begun; what is acknowledged later is lost with the disk. It is the
  interval of the schedule, and the time of one bundle: a day and {create:.0f} s by default, an hour and {create:.0f} s
  where cron makes a bundle each hour.
- **RTO**: {restore:.0f} s for the restore, and {start:.0f} s until the restored server is ready. A bundle in a bucket
  is downloaded first.
"""


class Step(NamedTuple):
    name: str
    seconds: float
    size: int
    memory: int

    @property
    def line(self) -> str:
        size = f"{self.size / MB:,.0f}" if self.size else ""
        return f"| {self.name} | {self.seconds:.1f} | {SIZE / self.seconds:.0f} | {size} | {self.memory} |"


def measured(env: Mapping[str, str], *arguments: str) -> tuple[float, int, Any]:
    """Seconds, MB of memory, and the document that the command prints."""
    began, peak = time.monotonic(), 0
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as failed:
        process = subprocess.Popen(
            [*CREWSHIP, "backup", *arguments, "--json"], env=dict(env), cwd="/", stdout=said, stderr=failed
        )
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            time.sleep(0.05)
        said.seek(0)
        failed.seek(0)
        assert process.returncode == 0, failed.read().decode()
        return time.monotonic() - began, peak // 1000, json.loads(said.read())


def peak_of(pid: int) -> int:
    """The most kB that one process of a command has had, PostgreSQL left out.

    The kernel's account for a child (`ru_maxrss`) begins with the memory of its parent.
    """
    peak = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        command = psutil.Process(pid)
        for each in (command, *command.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                if each.name() != "postgres":
                    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{each.pid}/status").read_text())
                    peak = max(peak, int(found[1]) if found else 0)
    return peak


def fill(ship: Ship, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(env=ship.env) as served:
        at = f"?workspace_id={ship.workspace}"
        body = {"name": "Ada", "slug": "ada", "crew_id": ship.crew}
        agent = ask(served.port, "POST", f"/api/v1/agents{at}", ship.token, body)["id"]
        chat = ask(served.port, "POST", f"/api/v1/agents/{agent}/chats{at}", ship.token, {})["id"]
        assert served.end() == 0
    monkeypatch.setenv("CREWSHIP_DATA_DIR", str(ship.data_dir))
    with existing_database(load_settings()) as access:
        asyncio.run(_fill_rows(access, ship.workspace, chat, agent))
    folder = ship.data_dir / "files" / "large"
    folder.mkdir(parents=True)
    for number in range(int(SIZE * MB * (1 - ROWS) / FILE)):
        renew(folder, number)


def renew(folder: Path, number: int) -> None:
    with open(folder / str(number), "wb") as file:
        for _ in range(FILE // MB):
            file.write(os.urandom(MB))


async def _fill_rows(access: Access, workspace: str, chat: str, agent: str) -> None:
    owner = await connect(access.owner, EVERYTHING | {"statement_timeout": "0"})
    try:
        await owner.execute("ALTER TABLE messages DISABLE TRIGGER USER")
        await owner.execute(FILLED, int(SIZE * MB * ROWS / ROW), workspace, chat, agent, ROW, timeout=PATIENCE)
        await owner.execute("ALTER TABLE messages ENABLE TRIGGER USER")
    finally:
        await owner.close()


def size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_backup_takes_no_more_memory_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Path(tempfile.mkdtemp(prefix="crewship-", dir=os.environ.get("BACKUP_IN")))
    try:
        steps, start = taken(Ship(directory), directory, monkeypatch)
    finally:
        shutil.rmtree(directory)
    shown = HEAD.format(size=SIZE, rows=int(SIZE * ROWS), load=os.getloadavg()[0], cores=os.cpu_count())
    shown += "".join(f"{step.line}\n" for step in steps)
    seconds = {step.name: step.seconds for step in steps}
    shown += FOOT.format(create=seconds["create"], restore=seconds["restore"], start=start)
    print(shown)
    if (table := os.environ.get("BACKUP_TABLE")) is not None:
        Path(table).write_text(shown)
    assert max(step.memory for step in steps) < MOST_MEMORY


def taken(ship: Ship, directory: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Step], float]:
    fill(ship, monkeypatch)
    seal = ("--passphrase-file", str(ship.passphrase))
    whole, beside, steps = directory / "whole", directory / "beside", list[Step]()

    def step(name: str, folder: Path | None, *arguments: str, env: Mapping[str, str] = ship.env) -> Any:
        before = 0 if folder is None or not folder.exists() else size_below(folder)
        seconds, memory, told = measured(env, *arguments)
        steps.append(Step(name, seconds, 0 if folder is None else size_below(folder) - before, memory))
        return told

    made = step("create", whole, "create", "--to", str(whole), *seal)
    step("verify", None, "verify", made["path"])
    step("verify --open", None, "verify", made["path"], "--open", *seal)
    assert step("rehearse", None, "rehearse", made["path"], "--in", str(directory), *seal)["ok"]
    new = directory / "new"
    env = environment(new)
    restored = step("restore", new, "restore", made["path"], *seal, env=env)
    assert (restored["rows"], restored["files"]) == (made["rows"], made["files"])
    began = time.monotonic()
    with serving(env=env) as served:
        start = time.monotonic() - began
        assert served.end() == 0
    shutil.rmtree(new)
    Path(made["path"]).unlink()
    step("create --incremental, the first", beside, "create", "--incremental", "--to", str(beside), *seal)
    for number in range(max(1, int(SIZE * MB * (1 - ROWS) / FILE / 100))):
        renew(ship.data_dir / "files" / "large", number)
    later = step(
        "create --incremental, 1 % of the files new", beside, "create", "--incremental", "--to", str(beside), *seal
    )
    step("restore of that", new, "restore", later["path"], *seal, env=env)
    return steps, start
