"""Files that operations keep: bytes under confined paths, below CREWSHIP_STORAGE_BASE_PATH.

A folder is named by ids, a path in it by a client. What is written comes whole or not at all: received beside all
folders, brought to disk, then named. None of it is in a transaction: an operation receives before `begin()`.
"""

import asyncio
import contextlib
import errno
import functools
import os
import re
import stat
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

from resolvers.errors import Code, Refusal
from resolvers.instance import clearing
from resolvers.instance.confined import (
    kind_of,
    mode_of_replaced,
    open_directory,
    open_file,
    owner_of_agents_files,
)
from resolvers.instance.received import LocalReceived

T = TypeVar("T")
DEEPEST = 32  # names in a path
LONGEST_NAME = 255  # bytes: what file systems take
MOST_ENTRIES = 10_000  # of one directory that are listed
WRITTEN = 1 << 20  # bytes that are gathered for one write
INCOMING = "incoming"
FORGOTTEN = 24 * 3600.0  # seconds after which what is incoming belongs to a process that died
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_ENCODED = re.compile(r"%(2e%2e|2f|5c)|\.\.%(2f|5c)", re.IGNORECASE)
_threads = ThreadPoolExecutor(8, thread_name_prefix="files")

MISSING = "File not found"
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO)
_READING: dict[int | None, tuple[Code, str]] = dict.fromkeys(_ABSENT, (Code.NOT_FOUND, MISSING))
_WRITING: dict[int | None, tuple[Code, str]] = {
    errno.EISDIR: (Code.CONFLICT, "The path is a directory"),
    errno.ENOTDIR: (Code.CONFLICT, "A part of the path is not a directory"),
    errno.ELOOP: (Code.BAD_REQUEST, "The path contains a symbolic link, which is not followed"),
    errno.ENXIO: (Code.CONFLICT, "The path is not a file"),
}
_UNLINKING = _WRITING | dict.fromkeys(
    (errno.EACCES, errno.EPERM), (Code.CONFLICT, "The file belongs to the user of the container")
)
_REMOVING = _READING | {errno.ENOTEMPTY: (Code.CONFLICT, "The directory is not empty")}
_FULL = (Code.UNAVAILABLE, "The server has no space left for files")
_ALWAYS: dict[int | None, tuple[Code, str]] = {
    errno.ENAMETOOLONG: (Code.BAD_REQUEST, "A name in the path is too long"),
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
}
_BROKEN = (Code.UNAVAILABLE, "The files are not accessible")


@dataclass(frozen=True, slots=True)
class Arriving:
    """Content that is being received, up to `most` bytes.

    It can be read once; the reader gets a Refusal if the content ends early or is too long. `announced`: the declared
    number of bytes.
    """

    content: AsyncIterator[bytes]
    most: int
    media_type: str = "application/octet-stream"
    announced: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """`path` is relative to the folder; `kind` is file, directory, link or other."""

    path: str
    name: str
    kind: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file for an answer.

    It may change meanwhile; at most `size` bytes are read, and `tag` distinguishes versions. `cached`: a browser may
    keep it. `lasts`: it is shown in pages, and not saved; a browser need not ask for it again for so many seconds.
    """

    file: FileIO = field(repr=False)
    name: str
    size: int
    tag: str
    media_type: str = "application/octet-stream"
    cached: bool = True
    lasts: int | None = None

    def shown_as(self, media_type: str, lasts: int) -> "Opened":
        """The same file for pages."""
        return replace(self, media_type=media_type, lasts=lasts)

    async def read(self, start: int, size: int) -> bytes:
        """At most `size` bytes from `start`; fewer where the file ends."""
        return await _apart(os.pread, self.file.fileno(), size, start)

    def close(self) -> None:
        self.file.close()


class Received(Protocol):
    """Received content without a name. It is removed at the end of its block unless it was kept."""

    size: int


class Folder(Protocol):
    """Files of one owner.

    A path is relative, `a/b.txt`; an invalid one is BAD_REQUEST, a missing one NOT_FOUND.
    """

    async def list(self, path: str = "") -> Sequence[Entry]:
        """The entries by name; empty if the directory does not exist."""

    async def walk(self, path: str = "", levels: int = DEEPEST) -> Sequence[Entry]:
        """All entries below a directory by name, each before its contents. Follows no link, and leaves out names that
        no path can express. At most MOST_ENTRIES.
        """

    async def stat(self, path: str) -> Entry: ...

    async def open(self, path: str) -> Opened:
        """Opens a regular file; the caller closes it."""

    async def keep(self, received: Received, path: str) -> bool:
        """Gives it its name; a file that has it is replaced at once. True where there was none.

        Missing directories are made. CONFLICT where something else is in the way, BAD_REQUEST for a symbolic link.
        """

    async def remove(self, path: str) -> None:
        """A file, or an empty directory."""

    async def unlink(self, path: str) -> int | None:
        """Removes a file or a link, and returns its size; None if there is none. CONFLICT for a directory."""


class Store(Protocol):
    def folder(self, *ids: str, agents: bool = False) -> Folder:
        """The folder that ids lead to: `folder("workspaces", workspace_id, "backups")`.

        `agents`: commands of agents own what is in it.
        """

    def receive(self, arriving: Arriving) -> contextlib.AbstractAsyncContextManager[Received]:
        """Reads it to its end, and to the disk."""

    async def discard(self, *names: str) -> bool:
        """Removes a folder or file with all its contents, following no link. False if it does not exist. After an
        interruption, a second call removes the rest.
        """

    def pages(self, *names: str) -> AsyncGenerator[Sequence[str], None]:
        """The names of directories in a folder, in no order; some at once."""

    async def set_aside(self, *names: str) -> bool:
        """Like `discard`, but returns before the content is removed: `clear` removes it."""

    def open_base(self, names: tuple[str, ...], *, make: bool = False) -> int:
        """Opens a directory by names, and follows no link."""

    async def clear(self) -> None:
        """Removes the remains of processes that died during a removal."""


def names_of(path: str) -> tuple[str, ...]:
    """The names in a client's path; () for the folder itself. Raises a Refusal for an ambiguous path.

    Encoded separators are refused, even if nothing would decode them (contract: crews.files).
    """
    if path.startswith("/") or "\0" in path or _ENCODED.search(path):
        raise Refusal(Code.BAD_REQUEST, "The path must be relative, without NUL")
    names = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in names:
        raise Refusal(Code.BAD_REQUEST, "The path must not contain '..'")
    try:
        longest = max((len(name.encode()) for name in names), default=0)
    except UnicodeEncodeError:
        raise Refusal(Code.BAD_REQUEST, "The path is not text") from None
    if longest > LONGEST_NAME or len(names) > DEEPEST:
        raise Refusal(Code.BAD_REQUEST, "A name in the path is too long, or it is nested too deeply")
    return names


def name_and_parents(path: str) -> tuple[str, tuple[str, ...]]:
    names = names_of(path)
    if not names:
        raise Refusal(Code.BAD_REQUEST, "A path is required")
    return names[-1], names[:-1]


async def _apart(function: Callable[..., T], *arguments: Any) -> T:
    """In a thread of the files' own: disks can be slow, and may not hold the threads of others."""
    return await asyncio.get_running_loop().run_in_executor(_threads, functools.partial(function, *arguments))


@contextlib.contextmanager
def _explained(reasons: dict[int | None, tuple[Code, str]]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Refusal(*(reasons | _ALWAYS).get(error.errno, _BROKEN)) from error


class LocalStore:
    """On the local file system, which all processes of the instance share."""

    def __init__(self, base: Path) -> None:
        self._base, self._swept = base, False

    def open_base(self, names: tuple[str, ...], *, make: bool = False) -> int:
        if make:
            self._base.mkdir(mode=0o700, parents=True, exist_ok=True)
        base = os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_directory(base, names, make=make)
        finally:
            os.close(base)

    def folder(self, *ids: str, agents: bool = False) -> "LocalFolder":
        if not ids or not all(map(_ID.fullmatch, ids)) or ids[0] in (INCOMING, clearing.REMOVED):
            raise ValueError("a folder is named by ids")
        return LocalFolder(self, ids, owner_of_agents_files() if agents else None, 0o644 if agents else 0o600)

    @contextlib.asynccontextmanager
    async def receive(self, arriving: Arriving) -> AsyncIterator[LocalReceived]:
        making = asyncio.ensure_future(_apart(self._incoming))
        try:
            with _explained({}):
                received = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_forgotten)
            raise
        try:
            with _explained({}):
                await _fill(received, arriving)
            yield received
        finally:
            await asyncio.shield(_apart(received.close))

    async def discard(self, *names: str) -> bool:
        return await _apart(clearing.discard, self.open_base, names)

    async def pages(self, *names: str) -> AsyncGenerator[Sequence[str], None]:
        listed = await _apart(clearing.listed, self.open_base, names)
        if listed is None:
            return
        try:
            while (page := await _apart(clearing.directories, listed)) is not None:
                yield page
        finally:
            listed.close()

    async def set_aside(self, *names: str) -> bool:
        return await _apart(clearing.set_aside, self.open_base, names)

    async def clear(self) -> None:
        await _apart(clearing.clear, self.open_base)

    def _incoming(self) -> LocalReceived:
        directory = self.open_base((INCOMING,), make=True)
        try:
            if not self._swept:
                self._swept = True
                _sweep(directory)
            return LocalReceived(directory)
        except BaseException:
            os.close(directory)
            raise


class LocalTree:
    """Another tree than the store's, by its open root, which its opener closes; it is only read."""

    def __init__(self, root: int) -> None:
        self._root = root

    def open_base(self, names: tuple[str, ...], *, make: bool = False) -> int:
        if make:
            raise OSError(errno.EROFS, "the tree is only read")
        return open_directory(self._root, names)

    @property
    def folder(self) -> "LocalFolder":
        """All of it."""
        return LocalFolder(self, (), None, 0)


def _forgotten(making: "asyncio.Future[LocalReceived]") -> None:
    if making.exception() is None:
        making.result().close()


async def _fill(received: LocalReceived, arriving: Arriving) -> None:
    parts, gathered = list[bytes](), 0
    async for part in arriving.content:
        gathered += len(part)
        if received.size + gathered > arriving.most:
            raise Refusal(Code.TOO_LARGE, "Request body too large")
        parts.append(part)
        if gathered >= WRITTEN:
            await _apart(received.write, b"".join(parts))
            parts, gathered = [], 0
    await _apart(received.write, b"".join(parts))
    await _apart(received.finish)


def _sweep(directory: int) -> None:
    """Removes the files that a process left when it was killed while it received them."""
    with os.scandir(directory) as listed:
        for entry in listed:
            with contextlib.suppress(OSError):
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > FORGOTTEN:
                    os.unlink(entry.name, dir_fd=directory)


class LocalFolder:
    def __init__(self, store: LocalStore | LocalTree, ids: tuple[str, ...], owner: int | None, mode: int) -> None:
        self._store, self._ids, self._owner, self._mode = store, ids, owner, mode

    async def list(self, path: str = "") -> Sequence[Entry]:
        return await _apart(self._list, names_of(path))

    async def walk(self, path: str = "", levels: int = DEEPEST) -> Sequence[Entry]:
        return await _apart(self._walk, names_of(path), levels)

    async def stat(self, path: str) -> Entry:
        return await _apart(self._stat, *name_and_parents(path))

    async def open(self, path: str) -> Opened:
        return await _apart(self._open, *name_and_parents(path))

    async def keep(self, received: Received, path: str) -> bool:
        return await _apart(self._keep, received, *name_and_parents(path))

    async def remove(self, path: str) -> None:
        await _apart(self._remove, *name_and_parents(path))

    async def unlink(self, path: str) -> int | None:
        return await _apart(self._unlink, *name_and_parents(path))

    @contextlib.contextmanager
    def _directory(self, names: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        root = self._store.open_base(self._ids, make=make)
        try:
            if make and self._owner is not None:
                os.fchown(root, self._owner, self._owner)
            here = open_directory(root, names, make=make, owner=self._owner)
        finally:
            os.close(root)
        try:
            yield here
        finally:
            os.close(here)

    def _list(self, names: tuple[str, ...]) -> Sequence[Entry]:
        try:
            with _explained(_READING), self._directory(names) as here:
                return _entries(here, names)
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise
        return []

    def _walk(self, names: tuple[str, ...], levels: int) -> Sequence[Entry]:
        found: list[Entry] = []
        try:
            with _explained(_READING), self._directory(names) as here:
                _descend(here, names, min(len(names) + levels, DEEPEST), found)
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise
        return found

    def _stat(self, name: str, parents: tuple[str, ...]) -> Entry:
        with _explained(_READING), self._directory(parents) as here:
            return _entry(parents, name, os.stat(name, dir_fd=here, follow_symlinks=False))

    def _open(self, name: str, parents: tuple[str, ...]) -> Opened:
        with _explained(_READING), self._directory(parents) as here:
            file = FileIO(open_file(here, name))
        found = os.fstat(file.fileno())
        return Opened(file, name, found.st_size, f"{found.st_ino:x}-{found.st_size:x}-{found.st_ctime_ns:x}")

    def _keep(self, received: LocalReceived, name: str, parents: tuple[str, ...]) -> bool:
        with _explained(_WRITING), self._directory(parents, make=True) as here:
            before = mode_of_replaced(here, name)
            received.move(here, name, self._owner, self._mode if before is None else before)
            os.fsync(here)
        return before is None

    def _remove(self, name: str, parents: tuple[str, ...]) -> None:
        with _explained(_REMOVING), self._directory(parents) as here:
            if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=here)
            else:
                os.unlink(name, dir_fd=here)
            os.fsync(here)

    def _unlink(self, name: str, parents: tuple[str, ...]) -> int | None:
        with _explained(_UNLINKING):
            try:
                with self._directory(parents) as here:
                    size = os.stat(name, dir_fd=here, follow_symlinks=False).st_size
                    os.unlink(name, dir_fd=here)
                    os.fsync(here)
            except (FileNotFoundError, NotADirectoryError):
                return None
        return size


def _entries(here: int, names: tuple[str, ...]) -> list[Entry]:
    """The entries of an open directory, by name. Names that are not Unicode are left out: no client could
    request them.
    """
    found = []
    with os.scandir(here) as listed:
        for entry in islice(listed, MOST_ENTRIES):
            with contextlib.suppress(OSError, UnicodeEncodeError):
                entry.name.encode()
                found.append(_entry(names, entry.name, entry.stat(follow_symlinks=False)))
    return sorted(found, key=lambda entry: entry.name)


def _descend(here: int, names: tuple[str, ...], deepest: int, found: list[Entry]) -> None:
    """A directory that cannot be opened any more is an entry without anything in it."""
    for entry in _entries(here, names):
        if len(found) >= MOST_ENTRIES:
            return
        found.append(entry)
        if entry.kind == "directory" and len(names) < deepest - 1:
            with contextlib.suppress(OSError):
                below = open_directory(here, (entry.name,))
                try:
                    _descend(below, (*names, entry.name), deepest, found)
                finally:
                    os.close(below)


def _entry(names: tuple[str, ...], name: str, found: os.stat_result) -> Entry:
    modified = datetime.fromtimestamp(int(found.st_mtime), UTC)
    return Entry("/".join((*names, name)), name, kind_of(found.st_mode), found.st_size, modified)
