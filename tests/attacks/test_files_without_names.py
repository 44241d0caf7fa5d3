# ruff: noqa: F811 - fixtures are imported by their names
"""Files that were deleted and are still there, and a disk that is almost full."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.sandbox import Limits, Workdir, sums
from runtime.sandbox.groups import Groups, NoGroups
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.programs import Programs
from tests.runtime.sandbox.machine import (  # noqa: F401
    data_dir,
    host_allows,
    programs,
    python,
    shell,
    why_not,
    workdir,
)

pytestmark = pytest.mark.anyio

MIB = 1 << 20
DISK = 64
OPEN = """
import os, time
held = []
for number in range(12):
    file = open(f"f{number}", "wb")
    os.unlink(f"f{number}")
    for _ in range(20):
        file.write(b"x" * (1 << 20))
    file.flush()
    held.append(file)
time.sleep(20)
"""
IN_HOME = OPEN.replace('f"f{number}"', 'f"/home/agent/f{number}"')
MAPPED = """
import mmap, os, time
held = []
for number in range(12):
    with open("f", "w+b") as file:
        os.unlink("f")
        for _ in range(20):
            file.write(b"x" * (1 << 20))
        file.flush()
        held.append(mmap.mmap(file.fileno(), 20 << 20))
time.sleep(20)
"""
BY_CHILDREN = """
import os, time
for number in range(12):
    if os.fork() == 0:
        os.setsid()
        file = open(f"f{number}", "wb")
        os.unlink(f"f{number}")
        for _ in range(20):
            file.write(b"x" * (1 << 20))
        file.flush()
        time.sleep(20)
        os._exit(0)
time.sleep(20)
"""
KINDS = {"open": OPEN, "in the home": IN_HOME, "mapped": MAPPED, "by children": BY_CHILDREN}


@pytest.fixture(params=["group", "watched"])
def sandbox(request: pytest.FixtureRequest, programs: Programs) -> Iterator[Bubblewrap]:
    limits = Limits(disk=DISK * MIB, memory_sum=256 * MIB)
    if request.param == "watched":
        yield Bubblewrap(programs, limits=limits)
        return
    try:
        groups = Groups.find(limits)
    except NoGroups as none:
        pytest.skip(f"NO CONTROL GROUPS, NOTHING IS PROVED: {none}")
    yield Bubblewrap(programs, limits=limits, groups=groups)
    groups.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_files_that_were_deleted_count(sandbox: Bubblewrap, workdir: Workdir, python: str, kind: str) -> None:
    os.close(workdir.open_output())
    before = os.statvfs(workdir.storage)
    ended = await sandbox.run([python, "-c", KINDS[kind]], workdir=workdir, timeout=30)
    assert (ended.exit_code, ended.timed_out, ended.stderr) == (137, False, "")
    assert f"take more than {DISK} MiB" in ended.excess
    assert sums.measure(workdir, Limits(), threading.Event()).disk < MIB
    assert (before.f_bfree - os.statvfs(workdir.storage).f_bfree) * before.f_frsize < 512 * MIB


@pytest.mark.slow
async def test_a_few_of_them_are_nothing(sandbox: Bubblewrap, workdir: Workdir, python: str) -> None:
    few = OPEN.replace("range(12)", "range(2)").replace("sleep(20)", "sleep(3)")
    ended = await sandbox.run([python, "-c", few], workdir=workdir, timeout=30)
    assert (ended.exit_code, ended.excess) == (0, "")


class Disk:
    """A disk of the size that a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, storage: Path) -> None:
        self.missing, self._storage, self._statvfs = 0, storage, os.statvfs
        self.entries: int | None = None
        monkeypatch.setattr(os, "statvfs", self._changed)

    def _changed(self, path: Any) -> os.statvfs_result:
        found = list(self._statvfs(path))
        if path == self._storage:
            found[4] = max(0, found[4] - self.missing // found[1])
            found[7] = found[7] if self.entries is None else self.entries
        return os.statvfs_result(found)

    def leave(self, free: int) -> None:
        found = self._statvfs(self._storage)
        self.missing = found.f_bavail * found.f_frsize - free


@pytest.fixture
def disk(workdir: Workdir, monkeypatch: pytest.MonkeyPatch) -> Disk:
    os.close(workdir.open_output())
    return Disk(monkeypatch, workdir.storage)


WRITING = """
import os, time
time.sleep(0.5)
with open("big", "wb") as file:
    for _ in range(40):
        file.write(b"x" * (1 << 20))
        time.sleep(0.02)
time.sleep(20)
"""


@pytest.mark.slow
async def test_a_disk_that_becomes_full_ends_what_writes_to_it(
    sandbox: Bubblewrap, workdir: Workdir, python: str, disk: Disk
) -> None:
    disk.leave(sums.LEAST_FREE + 10 * MIB)
    quiet = asyncio.ensure_future(sandbox.run(shell("sleep 5; echo on"), workdir=workdir, timeout=30))
    writing = asyncio.ensure_future(sandbox.run([python, "-c", WRITING], workdir=workdir, timeout=30))
    ended = await writing
    assert (ended.exit_code, ended.timed_out) == (137, False)
    assert "the disk of this server is almost full" in ended.excess
    assert ((await quiet).stdout, (await quiet).excess) == ("on\n", "")


@pytest.mark.parametrize("of", ["bytes", "entries"])
async def test_on_a_full_one_files_are_deleted_and_none_grows(
    sandbox: Bubblewrap, workdir: Workdir, disk: Disk, of: str
) -> None:
    (workdir.path / "old").write_bytes(b"x" * MIB)
    os.chown(workdir.path / "old", workdir.owner or -1, workdir.owner or -1)
    if of == "bytes":
        disk.leave(100 * MIB)
    else:
        disk.entries = 100
    ended = await sandbox.run(shell("(echo more >>old) 2>/dev/null; wc -c <old; rm old"), workdir=workdir, timeout=20)
    assert (ended.exit_code, ended.stdout.strip()) == (0, str(MIB))
    assert not (workdir.path / "old").exists()
