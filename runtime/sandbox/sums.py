"""The limits of a command with all its processes, and of a crew with all its commands: memory, bytes and files.

If the kernel limits a command's memory, it reports when the limit was exceeded. Everything else is polled from outside
while a command runs: memory and free disk space ten times a second, files as often as that costs a twentieth of the
time. A command over a limit is killed.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from runtime.runs.job import Failed
from runtime.sandbox.boundary import MIB, Limits
from runtime.sandbox.groups import Group
from runtime.sandbox.held import MOST_LOOKED_AT, HeldResources, has_written, in_memory
from runtime.sandbox.process import ready, to_the_end
from runtime.sandbox.workdir import Workdir

DEEPEST: Final = 64  # directories in one another; what lies below counts as too much
LEAST_FREE: Final = 1024 * MIB  # of a disk, or the twentieth part of it, where that is less
LEAST_ENTRIES: Final = 10_000  # files that a disk can still have, or the hundredth part
WALK_SECONDS: Final = 5.0  # longer walks end with what they saw
MEMORY_EVERY, FILES_EVERY, SHARE = 0.1, 1.0, 20  # seconds between looks, and how many times as long as a look took
HOPELESS: Final = 4  # times the limit: from here on commands are refused
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class DiskUsage:
    """The contents of directories: bytes on disk, and entries of any kind. A file with several names counts once."""

    disk: int = 0
    files: int = 0

    def exceeds(self, limits: Limits, times: int = 1) -> bool:
        return self.disk > limits.disk * times or self.files > limits.files * times


def measure(workdir: Workdir, limits: Limits, stop: threading.Event) -> DiskUsage:
    """Usage of the crew's directory and agent's home; incomplete when hopeless, after WALK_SECONDS, or at `stop`."""
    walk = _Walk(limits, stop)
    for opening in (workdir.open_output, workdir.open_home):
        descriptor = opening()
        try:
            walk.into(descriptor, DEEPEST)
        finally:
            os.close(descriptor)
    return walk.usage


def measure_directory(descriptor: int, limits: Limits, stop: threading.Event) -> tuple[DiskUsage, bool]:
    """Usage of an open directory, and whether that is all of it, as for `measure`."""
    walk = _Walk(limits, stop)
    return walk.usage, walk.into(descriptor, DEEPEST)


class _Walk:
    def __init__(self, limits: Limits, stop: threading.Event) -> None:
        self.usage = DiskUsage()
        self._limits, self._stop = limits, stop
        self._ends = time.monotonic() + WALK_SECONDS
        self._seen: set[tuple[int, int]] = set()

    def into(self, descriptor: int, deeper: int) -> bool:
        """False at the end. Links are counted, not followed; entries that vanish are skipped."""
        if deeper == 0:
            self.usage.files = self._limits.files * HOPELESS + 1
            return False
        below = []
        with contextlib.suppress(OSError), os.scandir(descriptor) as entries:
            for entry in entries:
                if not self._count(entry):
                    return False
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
        return all(self._descend(descriptor, name, deeper) for name in below)

    def _count(self, entry: os.DirEntry[str]) -> bool:
        self.usage.files += 1
        with contextlib.suppress(OSError):
            found = entry.stat(follow_symlinks=False)
            key = (found.st_dev, found.st_ino)
            if found.st_nlink == 1 or key not in self._seen:
                self.usage.disk += found.st_blocks * 512
            if found.st_nlink > 1:
                self._seen.add(key)
        if self.usage.files % 1024 == 0:
            if time.monotonic() > self._ends:
                return False
            time.sleep(0.0005)  # the event loop goes first
        return not self._stop.is_set() and not self.usage.exceeds(self._limits, HOPELESS)

    def _descend(self, descriptor: int, name: str, deeper: int) -> bool:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=descriptor)
        except OSError:
            return True
        try:
            return self.into(below, deeper - 1)
        finally:
            os.close(below)


async def admit(workdir: Workdir, limits: Limits) -> Limits:
    """The limits of a command that begins now. Raises Failed when the crew's files are hopelessly many.

    Where they are only too many, or the disk of the server is full, files can be deleted but none can grow, and there
    may not be more than there are.
    """
    usage = await _now(workdir, limits)
    full = await asyncio.to_thread(is_full, workdir.storage)
    if usage.exceeds(limits, HOPELESS):
        raise Failed(
            f"{_too_much(limits)}, by far: commands are disabled until the operator of this server deletes files"
        )
    if not usage.exceeds(limits) and not full:
        return limits
    return replace(limits, file_size=0, disk=max(limits.disk, usage.disk + MIB), files=max(limits.files, usage.files))


async def require_room(workdir: Workdir, limits: Limits) -> None:
    """For what the service writes itself. Raises Failed when the crew's files are too many."""
    if (await _now(workdir, limits)).exceeds(limits):
        raise Failed(f"{_too_much(limits)}; delete some")


async def _now(workdir: Workdir, limits: Limits) -> DiskUsage:
    return await to_the_end(asyncio.to_thread(measure, workdir, limits, threading.Event()))


def _too_much(limits: Limits) -> str:
    return f"The files of this crew take more than {limits.disk // MIB} MiB, or are more than {limits.files}"


def descendants(pid: int) -> list[int]:
    """A process and all its descendants. No process leaves a pid namespace: its first process adopts orphans."""
    found, left = [], [pid]
    while left:
        one = left.pop()
        found.append(one)
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{one}/task"):
                left += map(int, Path(f"/proc/{one}/task/{task}/children").read_bytes().split())
    return found


def is_full(storage: Path) -> bool:
    """Returns true if so little disk space is left for agents' files that the service itself could lack it."""
    found = os.statvfs(storage)
    free, entries = found.f_bavail * found.f_frsize, found.f_favail
    few = bool(found.f_files) and entries < min(LEAST_ENTRIES, found.f_files // 100)
    return few or free < min(LEAST_FREE, found.f_blocks * found.f_frsize // 20)


def memory_of(pids: Sequence[int], enough: int) -> int:
    """Bytes of memory that processes hold, and nothing else has a name for; shared ones counted once, if counting each
    would make more than `enough`.
    """
    held = sum(_resident(pid) for pid in pids)
    return held if held <= enough else sum(_proportional(pid) for pid in pids)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):  # it has ended
        return 0


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        sizes = {name: int(size.split()[0]) * 1024 for name, _, size in (line.partition(":") for line in lines)}
        return sizes["Pss"] - sizes.get("Pss_Shmem", 0)
    except ProcessLookupError:
        return 0
    except OSError:  # it may not be looked into
        return _resident(pid)


class CommandWatch:
    """Looks at a command while it runs."""

    def __init__(self, pid: int, workdir: Workdir, limits: Limits, group: Group | None = None) -> None:
        self._pid, self._workdir, self._limits, self._group = pid, workdir, limits, group
        self._stop = threading.Event()

    async def until(self, pidfd: int) -> str:
        """Until the process has ended by itself (""), or until there is too much of something, which is returned."""
        ended = asyncio.ensure_future(ready(pidfd))
        looking = [
            asyncio.ensure_future(self._again(look, every))
            for look, every in ((self._quick, MEMORY_EVERY), (self._files, FILES_EVERY))
        ]
        try:
            await asyncio.wait({ended, *looking}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return self._ran_out()
            return next((look.result() for look in looking if look.done()), "")
        finally:
            self._stop.set()
            for task in (ended, *looking):
                task.cancel()
            await asyncio.gather(ended, *looking, return_exceptions=True)

    async def _again(self, look: Callable[[], str], pause: float) -> str:
        least = pause
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            if excess := await to_the_end(asyncio.to_thread(look)):
                return excess
            pause = max(least, (time.monotonic() - began) * SHARE)

    def _quick(self) -> str:
        return self._memory() or self._room()

    def _memory(self) -> str:
        """The kernel may have ended one of many processes, and not the command."""
        if self._group is not None:
            return self._ran_out()
        pids, limit = descendants(self._pid), self._limits.memory_sum
        unnamed = HeldResources(self._devices).look(pids)
        if unnamed.too_many:
            return f"its processes had more than {MOST_LOOKED_AT} open files in total"
        beside = unnamed.memory + unnamed.buffers + in_memory(pids, self._devices)
        held = beside + memory_of(pids, limit - beside)
        return self._too_much_memory if held > limit else ""

    def _room(self) -> str:
        """A command that has written little continues: it may be the one that frees space."""
        if not is_full(self._workdir.storage) or not has_written(descendants(self._pid)):
            return ""
        return "the disk of this server is almost full; delete files"

    def _ran_out(self) -> str:
        return self._too_much_memory if self._group is not None and self._group.ran_out() else ""

    @property
    def _too_much_memory(self) -> str:
        return f"its processes used more than {self._limits.memory_sum // MIB} MiB of memory in total"

    def _files(self) -> str:
        try:
            usage = measure(self._workdir, self._limits, self._stop)
        except Failed:
            return ""
        usage.disk += HeldResources(self._devices).look(descendants(self._pid)).disk
        return f"{_too_much(self._limits)}; delete some" if usage.exceeds(self._limits) else ""

    @cached_property
    def _devices(self) -> frozenset[int]:
        """The devices of the crew's files."""
        opened = [opening() for opening in (self._workdir.open_output, self._workdir.open_home)]
        try:
            return frozenset(os.fstat(descriptor).st_dev for descriptor in opened)
        finally:
            for descriptor in opened:
                os.close(descriptor)
