"""Reports files that agents' processes write, while they write: the folder of a crew is watched while one of its agents
has a run in this process.

The kernel's notice (inotify, by watchfiles) is a hint: after each hint, and at the end of the last run, the folder is
read and compared with its earlier state. So nothing is polled, a new folder is watched from the look that found it, and
a file that changes a hundred times in a moment is reported once.

The agent decides what a name leads to. So directories are opened one by one without following a link, and the open
directory is watched, by its descriptor; of files only the entries of their directory are read.
"""

import asyncio
import itertools
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from models.bounds import LINE, cut
from resolvers.identity.caller import Caller
from resolvers.instance.confined import ATTACHMENTS
from resolvers.instance.telemetry import log
from resolvers.rules.memory_files import MEMORY
from resolvers.rules.redaction import Redactor
from resolvers.staff.crews.memories import record_quietly
from resolvers.staff.crews.watching import MOST_CHANGES, FileChange, report_files
from runtime.runs.job import Failed, Job
from runtime.sandbox.workdir import Workdir

SERVICE: Final = "runtime"
MOST_FOLDERS: Final = 64
"""The most watched folders of a crew: each is an open descriptor."""
MOST_FILES: Final = 5_000
DEEPEST: Final = 16
PAUSE: Final = 400
"""Milliseconds for which changes are gathered."""
LONGEST_PATH: Final = LINE
UNWATCHED: Final = frozenset({".git", ".hg", ".svn", ".venv", MEMORY, "node_modules", "__pycache__", ATTACHMENTS})
"""Folders of tools, which are not watched; uploads report attachments themselves."""

Seen = dict[str, tuple[int, int]]
"""Path -> when it was written, in nanoseconds, and its size."""


@dataclass
class Folders:
    """The directories of a crew that are watched, open, by their paths."""

    open: dict[str, int] = field(default_factory=dict)

    def close(self) -> None:
        while self.open:
            os.close(self.open.popitem()[1])

    def look(self, root: int) -> tuple[Seen, bool]:
        """All files, and whether there are other directories than before."""
        seen, found, before = Seen(), Folders(), {path: _identity(opened) for path, opened in self.open.items()}
        try:
            found._enter(os.dup(root), (), seen)
        except BaseException:
            found.close()
            raise
        changed = before != {path: _identity(opened) for path, opened in found.open.items()}
        if changed:
            self.close()
            self.open = found.open
        else:
            found.close()
        return seen, changed

    def _enter(self, opened: int, names: tuple[str, ...], seen: Seen) -> None:
        self.open["/".join(names)] = opened
        below = list[str]()
        for name, status in _entries(opened):
            path = "/".join((*names, name))
            if stat.S_ISDIR(status.st_mode) and name not in UNWATCHED:
                below.append(name)
            elif stat.S_ISREG(status.st_mode) and names and len(seen) < MOST_FILES and _tellable(path):
                seen[path] = status.st_mtime_ns, status.st_size
        for name in sorted(below) if len(names) < DEEPEST else ():
            if len(self.open) >= MOST_FOLDERS:
                return
            with suppress(OSError):  # gone, or a link by now
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                self._enter(os.open(name, flags, dir_fd=opened), (*names, name), seen)


def _entries(opened: int) -> Iterator[tuple[str, os.stat_result]]:
    with suppress(OSError), os.scandir(opened) as entries:
        for entry in entries:
            with suppress(OSError):
                yield entry.name, entry.stat(follow_symlinks=False)


def _identity(opened: int) -> tuple[int, int]:
    status = os.fstat(opened)
    return status.st_dev, status.st_ino


def _tellable(path: str) -> bool:
    return len(path) <= LONGEST_PATH and path.isprintable()


def changes(before: Seen, after: Seen) -> list[tuple[FileChange, str, int]]:
    """The changes of files, by path; the first ones if there are very many."""
    told = [(FileChange.file_deleted, path, 0) for path in before.keys() - after.keys()]
    for path, (written, size) in after.items():
        if path not in before:
            told.append((FileChange.file_created, path, size))
        elif before[path] != (written, size):
            told.append((FileChange.file_modified, path, size))
    return sorted(told, key=lambda change: change[1])[:MOST_CHANGES]


@dataclass(eq=False)
class CrewWatch:
    """The watch of one crew. It ends when its last run ends."""

    workspace_id: str
    crew_id: str
    workdir: Workdir
    redactions: dict[object, Callable[[str], str]] = field(default_factory=dict)
    """The redactors of all its runs: a file name may be a secret of any of them, and ended runs have written files,
    too. Runs with the same secrets share one.
    """
    holders: int = 0
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        try:
            root = await asyncio.to_thread(self.workdir.open_output)
        except Failed as failed:
            log.warning("files are not watched", crew_id=self.crew_id, cause=str(failed))
            return
        folders = Folders()
        try:
            seen, _ = await asyncio.to_thread(folders.look, root)
            while not self.stopping.is_set():
                seen = await self._until_others(root, folders, seen)
            await self._tell(seen, (await asyncio.to_thread(folders.look, root))[0])
            if await asyncio.to_thread(_has_memory, root):
                await record_quietly(self.workspace_id, self.crew_id)
        except Exception as error:
            log.warning("files are no longer watched", crew_id=self.crew_id, cause=type(error).__name__)
        finally:
            folders.close()
            os.close(root)

    async def _until_others(self, root: int, folders: Folders, seen: Seen) -> Seen:
        """Reports changes until other directories have to be watched or the last run has ended."""
        from watchfiles import awatch  # what no process needs that runs no agents' commands

        paths, stop = [f"/proc/self/fd/{opened}" for opened in folders.open.values()], asyncio.Event()
        # by an event of its own: who is cancelled waits for the thread
        hints = awatch(*paths, recursive=False, watch_filter=None, debounce=PAUSE, stop_event=stop)
        over, hint = asyncio.create_task(self.stopping.wait()), asyncio.ensure_future(anext(hints, None))
        try:
            await asyncio.sleep(0)  # from here on it is watched: what came between the looks is found by this one
            while True:
                now, others = await asyncio.to_thread(folders.look, root)
                await self._tell(seen, now)
                seen = now
                if others:
                    return seen
                await asyncio.wait({hint, over}, return_when=asyncio.FIRST_COMPLETED)
                if over.done() or hint.result() is None:
                    return seen
                hint = asyncio.ensure_future(anext(hints, None))
        finally:
            stop.set()
            over.cancel()
            await asyncio.wait({hint})
            await hints.aclose()

    async def _tell(self, before: Seen, after: Seen) -> None:
        told = [
            {"event": event.value, "path": self._shown(path), "size": size}
            for event, path, size in changes(before, after)
        ]
        if told:
            report = {"crew_id": self.crew_id, "files": told}
            await report_files(Caller.service(SERVICE, self.workspace_id), report)

    def _shown(self, path: str) -> str:
        for redact in self.redactions.values():
            path = redact(path)
        return cut(path, LONGEST_PATH)


def _has_memory(root: int) -> bool:
    """Returns true if the crew, or one of its agents, has a folder of memories."""
    names = (".", *itertools.islice(os.listdir(root), MOST_FOLDERS))
    return any(_is_there(root, f"{name}/{MEMORY}") for name in names)


def _is_there(root: int, path: str) -> bool:
    """A look only: what is opened is judged by itself."""
    try:
        os.stat(path, dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True


_watches: dict[tuple[str, str], CrewWatch] = {}
_ending = set[asyncio.Task[None]]()


@asynccontextmanager
async def watched(
    job: Job, workdir: Workdir | None, redact: Callable[[str], str] = Redactor().redact
) -> AsyncIterator[None]:
    """Watches during the run. Neither the begin nor the end of the run waits for it.

    `redact`: removes the secrets of the run from names of files.
    """
    crew_id = job.agent.crew_id
    if workdir is None or crew_id is None:
        yield
        return
    key = job.workspace_id, crew_id
    watch = _watches.get(key)
    if watch is None:
        watch = _watches[key] = CrewWatch(job.workspace_id, crew_id, workdir)
        watch.task = asyncio.create_task(watch.run(), name=f"files of {crew_id}")
        _ending.add(watch.task)
        watch.task.add_done_callback(_ending.discard)
    watch.holders += 1
    watch.redactions.setdefault(getattr(redact, "__self__", redact), redact)
    try:
        yield
    finally:
        watch.holders -= 1
        if watch.holders == 0:
            del _watches[key]
            watch.stopping.set()
