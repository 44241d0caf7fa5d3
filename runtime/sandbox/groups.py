"""Control groups: the kernel's limits of a command with all its processes and every kind of memory.

A group counts what no process holds: files in memory, shared segments, buffers of sockets and pipes, the kernel's own
tables. Kernels have them in one hierarchy (v2) or in one for each controller (v1); both are one `Group` here.

The service creates a home for all of its groups, and holds a lock on it while it lives. A home without a lock belongs
to a killed service and is removed with its contents.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.sandbox.boundary import MIB, Limits

MEMORY, CONTROLLERS = "memory", ("memory", "pids", "cpu")
PREFIX: Final = "crewship-"
LEAF: Final = "crewship.service"  # where the service itself goes: a group with groups below it has no processes (v2)
OF_THE_SANDBOX: Final = 16  # processes that are not the command's
# Of all commands together, when everything wants the processor: half of what the service has as a group (v2), or as
# much as any one of its processes (v1).
WEIGHT, SHARES = 50, 1024
REMOVED_WITHIN: Final = 2.0
_LEAST: Final = 64 * MIB


class NoGroups(Exception):
    """Why none can be made here."""


def _assign(version: int, memory: int, processes: int) -> Iterator[tuple[str, str, int, bool]]:
    """Controller, file, value, and whether it is a fault not to have it. The order counts: swap after memory."""
    if version == 2:
        yield MEMORY, "memory.max", memory, True
        yield MEMORY, "memory.swap.max", 0, False
        yield MEMORY, "memory.oom.group", 1, False
        yield "pids", "pids.max", processes, True
        return
    yield MEMORY, "memory.limit_in_bytes", memory, True
    yield MEMORY, "memory.memsw.limit_in_bytes", memory, False
    yield MEMORY, "memory.kmem.tcp.limit_in_bytes", memory, False
    yield MEMORY, "memory.swappiness", 0, False
    yield "pids", "pids.max", processes, True


@dataclass(frozen=True, slots=True)
class Group:
    """`folders` by controller; with v2 all are the same one."""

    version: int
    folders: Mapping[str, Path]

    @property
    def distinct(self) -> Sequence[Path]:
        return list(dict.fromkeys(self.folders.values()))

    @property
    def entries(self) -> Sequence[str]:
        """A process that writes 0 to each of these is in the group, and so is what it starts."""
        return [str(folder / "cgroup.procs") for folder in self.distinct]

    def below(self, name: str) -> "Group":
        return Group(self.version, {controller: folder / name for controller, folder in self.folders.items()})

    def make(self) -> None:
        for folder in self.distinct:
            folder.mkdir(mode=0o755)

    def limit(self, memory: int, processes: int) -> None:
        for controller, name, value, needed in _assign(self.version, memory, processes):
            if (folder := self.folders.get(controller)) is None:
                continue
            with contextlib.nullcontext() if needed else contextlib.suppress(OSError):
                (folder / name).write_text(str(value))

    def delegate(self) -> None:
        """Groups below have the controllers, too, and together a share of the processor."""
        if self.version == 2:
            enabled = " ".join(f"+{controller}" for controller in self.folders)
            (self.folders[MEMORY] / "cgroup.subtree_control").write_text(enabled)
        else:
            with contextlib.suppress(OSError):  # newer kernels have no other way
                (self.folders[MEMORY] / "memory.use_hierarchy").write_text("1")
        if (folder := self.folders.get("cpu")) is not None:
            name, value = ("cpu.weight", WEIGHT) if self.version == 2 else ("cpu.shares", SHARES)
            with contextlib.suppress(OSError):
                (folder / name).write_text(str(value))

    def memory(self) -> int:
        name = "memory.current" if self.version == 2 else "memory.usage_in_bytes"
        return int((self.folders[MEMORY] / name).read_text())

    def ran_out(self) -> bool:
        """Returns true if the kernel has killed one of its processes for lack of memory."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        with contextlib.suppress(OSError):
            for line in (self.folders[MEMORY] / name).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value) > 0
        return False

    def end(self) -> None:
        """Kills all its processes."""
        for folder in self.distinct:
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)

    def remove(self) -> bool:
        """Removes the group with its processes; False if a process does not end."""
        ends = time.monotonic() + REMOVED_WITHIN
        while not all(_removed(folder) for folder in self.distinct):
            if time.monotonic() > ends:
                return False
            self.end()
            time.sleep(0.005)
        return True


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class Groups:
    """Makes groups within a home of its own."""

    def __init__(self, parent: Group, *, memory: int) -> None:
        """`memory` of all commands together. Raises OSError."""
        for folder in parent.distinct:
            _remove_orphans(parent.version, folder)
        self._home, locks = _made(parent)
        self.version = parent.version
        self.controllers = tuple(parent.folders)
        self._counted = 0
        self._close = weakref.finalize(self, _close, self._home, locks)
        try:
            self._home.delegate()
            self._home.limit(memory, _most_processes())
            self.make(Limits()).remove()
        except OSError:
            self.close()
            raise

    @classmethod
    def find(cls, limits: Limits, root: Path = Path("/")) -> "Groups":
        """The place in which this process may create groups. Raises NoGroups."""
        memory = max(limits.memory_sum, (memory_of_machine(root) * 3) // 4)
        why = []
        for parent in _parents(root):
            try:
                _settle(parent)
                return cls(parent, memory=memory)
            except OSError as error:
                why.append(f"{parent.folders[MEMORY]}: {error.strerror}")
        raise NoGroups("; ".join(why) or "the kernel has no control group of memory that this process may divide")

    def make(self, limits: Limits) -> Group:
        """Raises OSError."""
        self._counted += 1
        group = self._home.below(str(self._counted))
        try:
            group.make()
            group.limit(max(limits.memory_sum, _LEAST), limits.processes + OF_THE_SANDBOX)
        except OSError:
            group.remove()
            raise
        return group

    def close(self) -> None:
        self._close()


def _made(parent: Group) -> tuple[Group, list[int]]:
    """A home, and the descriptors of its lock. A home that another process removed before it was locked is created
    again.
    """
    while True:
        home = parent.below(f"{PREFIX}{secrets.token_hex(6)}")
        home.make()
        locks = [_locked(folder) for folder in home.distinct]
        held = [lock for lock in locks if lock is not None]
        if len(held) == len(locks):
            return home, held
        for lock in held:
            os.close(lock)
        home.remove()


def _locked(folder: Path) -> int | None:
    """None if another process holds the lock, or the folder is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.stat(folder).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove_orphans(version: int, folder: Path) -> None:
    for orphan in folder.glob(f"{PREFIX}*"):
        if (lock := _locked(orphan)) is not None:
            try:
                for below in [each for each in orphan.iterdir() if each.is_dir()] + [orphan]:
                    Group(version, {MEMORY: below}).remove()
            finally:
                os.close(lock)


def _close(home: Group, locks: Sequence[int]) -> None:
    for folder in home.distinct:
        with contextlib.suppress(OSError):
            for below in [each for each in folder.iterdir() if each.is_dir()]:
                Group(home.version, {MEMORY: below}).remove()
    home.remove()
    for lock in locks:
        os.close(lock)


def _most_processes() -> int:
    """Half of the machine's process numbers."""
    most = [int(Path(f"/proc/sys/kernel/{name}").read_text()) for name in ("pid_max", "threads-max")]
    return min(most) // 2


@dataclass(frozen=True, slots=True)
class _Mount:
    """A hierarchy as this process sees it, and its own place in it."""

    at: Path
    own: Path


def _mounts(root: Path) -> tuple[_Mount | None, dict[str, _Mount]]:
    """The mount of v2, and the mounts of v1 by controller."""
    places: dict[str, str] = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, named, path = line.split(":", 2)
        places.update(dict.fromkeys(named.split(","), path))
    unified, divided = None, {}
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        within, at = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        controllers = [""] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []
        for controller in controllers:
            if controller not in places:
                continue
            path = places[controller]
            own = os.path.relpath(path, within) if Path(path).is_relative_to(within) else "."
            mount = _Mount(root / at.lstrip("/"), root / at.lstrip("/") / own)
            if kind == "cgroup2":
                unified = mount
            elif controller in CONTROLLERS:
                divided[controller] = mount
    return unified, divided


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _parents(root: Path) -> Iterator[Group]:
    """Groups that are this process's to divide, the best one first."""
    unified, divided = _mounts(root)
    if MEMORY in divided:
        yield Group(1, {controller: mount.own for controller, mount in divided.items()})
    elif unified is not None:
        for folder in dict.fromkeys(_delegated(unified)):
            there = (*_lines(folder / "cgroup.controllers"), "")[0].split()
            if MEMORY in there and "pids" in there:
                yield Group(2, {controller: folder for controller in CONTROLLERS if controller in there})


def _delegated(mount: _Mount) -> Iterator[Path]:
    """The groups that this user may divide: a plain user, those that the user can write to; root, the ones that systemd
    delegates, the whole of a container, or the top, beside other groups.
    """
    outer = mount.own.parent
    if mount.own != mount.at and (_is_left_to_us(outer) or mount.own.name == LEAF):
        yield outer
    if mount.own == mount.at or _is_left_to_us(mount.own):
        yield mount.own
    if os.geteuid() == 0:
        yield mount.at


def _is_left_to_us(folder: Path) -> bool:
    if os.geteuid() != 0:
        return os.access(folder / "cgroup.subtree_control", os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)
    for name in ("user.delegate", "trusted.delegate"):
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _settle(parent: Group) -> None:
    """Has the kernel pass on the controllers of v2, which it does where no process is in the group itself."""
    if parent.version == 1:
        return
    folder = parent.folders[MEMORY]
    enabled = " ".join(f"+{controller}" for controller in parent.folders)
    if set(parent.folders) <= set(" ".join(_lines(folder / "cgroup.subtree_control")).split()):
        return
    try:
        (folder / "cgroup.subtree_control").write_text(enabled)
    except OSError:
        leaf = folder / LEAF
        leaf.mkdir(exist_ok=True)
        for pid in _lines(folder / "cgroup.procs"):
            with contextlib.suppress(ProcessLookupError):
                (leaf / "cgroup.procs").write_text(pid)
        (folder / "cgroup.subtree_control").write_text(enabled)


def memory_of_machine(root: Path = Path("/")) -> int:
    """Bytes that this process may ever have, with all others of its group."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    unified, divided = _mounts(root)
    if MEMORY in divided:
        for line in _lines(divided[MEMORY].own / "memory.stat"):
            if line.startswith("hierarchical_memory_limit "):
                found.append(int(line.split()[1]))
    elif unified is not None:
        for folder in (unified.own, *unified.own.parents):
            found += [int(line) for line in _lines(folder / "memory.max") if line.isdecimal()]
    return min(found)
