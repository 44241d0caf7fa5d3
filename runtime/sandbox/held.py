"""Memory and disk space of processes without a file name: no walk through directories finds them.

They are deleted files that are open or mapped, file systems in memory, and buffers of the kernel. They are read from
/proc, from outside; the usage of unreadable processes is unknown (`unseen`).
"""

import contextlib
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from resolvers.rules.agent_folders import HOME
from runtime.sandbox.boundary import MIB

OF_AN_INODE: Final = 1024  # bytes of the kernel's, at least, for a file in memory
BUFFERS: Final = {stat.S_IFSOCK: 416 << 10, stat.S_IFIFO: 64 << 10}  # bytes that one can have written to it
MOST_LOOKED_AT: Final = 1 << 15  # descriptors
IN_MEMORY: Final = ("/tmp", "/dev/shm", HOME)  # noqa: S108 - of the sandbox
WRITES: Final = 16 * MIB  # a command that has written less has not filled a disk


@dataclass(slots=True)
class HeldResources:
    """Bytes. `disk` lies on one of the `devices` that are asked for; what is deleted elsewhere is memory."""

    devices: Collection[int]
    disk: int = 0
    memory: int = 0
    buffers: int = 0
    descriptors: int = 0
    unseen: int = 0
    """Processes that could not be looked into."""
    _known: set[tuple[int, int]] = field(default_factory=set)

    @property
    def too_many(self) -> bool:
        return self.descriptors > MOST_LOOKED_AT

    def look(self, pids: Sequence[int]) -> "HeldResources":
        for pid in pids:
            try:
                self._descriptors(pid)
                self._mapped(pid)
            except PermissionError:
                self.unseen += 1
            except OSError:  # it has ended
                continue
            if self.too_many:
                break
        return self

    def _descriptors(self, pid: int) -> None:
        for name in os.listdir(f"/proc/{pid}/fd"):
            self.descriptors += 1
            if self.too_many:
                return
            with contextlib.suppress(FileNotFoundError):
                self._one(os.stat(f"/proc/{pid}/fd/{name}"))

    def _one(self, found: os.stat_result) -> None:
        if self._is_known(found.st_dev, found.st_ino):
            return
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
            self._add(found.st_dev, found.st_blocks * 512)
        self.buffers += BUFFERS.get(stat.S_IFMT(found.st_mode), 0)

    def _mapped(self, pid: int) -> None:
        """Only the kernel's root sees how large a file is that is not open; for others it is as large as the part that
        is mapped.
        """
        with open(f"/proc/{pid}/maps", errors="replace") as maps:
            for line in maps:
                if not line.endswith("(deleted)\n"):
                    continue
                between, _, offset, device, inode = line.split(None, 5)[:5]
                with contextlib.suppress(OSError):
                    self._one(os.stat(f"/proc/{pid}/map_files/{between}"))
                    continue
                first, last = (int(part, 16) for part in between.split("-"))
                major, minor = (int(part, 16) for part in device.split(":"))
                number = os.makedev(major, minor)
                if not self._is_known(number, int(inode)):
                    self._add(number, int(offset, 16) + last - first)

    def _is_known(self, device: int, inode: int) -> bool:
        known = (device, inode) in self._known
        self._known.add((device, inode))
        return known

    def _add(self, device: int, size: int) -> None:
        if device in self.devices:
            self.disk += size
        else:
            self.memory += size


def in_memory(pids: Sequence[int], devices: Collection[int]) -> int:
    """Bytes of the file systems in memory that these processes have, deleted files and entries included."""
    ours = {*devices, *(os.stat(path).st_dev for path in ("/", *IN_MEMORY) if os.path.exists(path))}
    for pid in reversed(pids):  # the last one is the program, or what it has started
        with contextlib.suppress(OSError):
            root = Path(f"/proc/{pid}/root")
            if os.stat(f"{root}{IN_MEMORY[0]}").st_dev not in ours:
                return sum(_used(f"{root}{path}") for path in IN_MEMORY if os.stat(f"{root}{path}").st_dev not in ours)
    return 0


def _used(path: str) -> int:
    found = os.statvfs(path)
    return (found.f_blocks - found.f_bfree) * found.f_frsize + (found.f_files - found.f_ffree) * OF_AN_INODE


def has_written(pids: Sequence[int]) -> bool:
    """Returns true if the processes, with ended ones, may have filled a disk; also true for unreadable processes."""
    return sum(_written(pids)) >= WRITES


def _written(pids: Sequence[int]) -> Iterator[int]:
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        except PermissionError:
            yield WRITES
        except OSError:
            continue
        else:
            yield int(dict(line.split(": ") for line in lines).get("write_bytes", WRITES))
