"""Files of a crew, accessed from this process although commands of the crew may change them at any moment.

A path is split as text (`..` ends at /output), and opened as `instance/confined.py` describes.
"""

import contextlib
import errno
import itertools
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from resolvers.instance.confined import ATTACHMENTS, NEW, kind_of, mode_of_replaced, open_directory, open_file
from resolvers.rules.agent_folders import OUTPUT
from runtime.sandbox.workdir import Workdir

READ_LIMIT = 8 << 20
DEEPEST = 32
MOST_ENTRIES = 10_000  # of one directory that are looked at

_REASONS = {
    errno.ENOENT: "does not exist",
    errno.ENOTDIR: "has a part that is not a directory",
    errno.EISDIR: "is a directory",
    errno.ELOOP: "contains a symbolic link, which is not followed",
    errno.EACCES: "may not be opened",
    errno.EPERM: "may not be changed",
    errno.ENXIO: "is not a file",
    errno.ENAMETOOLONG: "has a name that is too long",
    errno.ENOSPC: "cannot be written: the disk is full",
    errno.EDQUOT: "cannot be written: the disk is full",
    errno.ENOTEMPTY: "is a directory",
}


class FileError(Exception):
    """A file cannot be used; the text is for the model, and names paths as it does."""


@dataclass(frozen=True, slots=True)
class CrewPath:
    """A path inside the crew's directory; () is /output itself."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, path: str, workdir: Workdir) -> "CrewPath":
        """`path` starts in the agent's own folder unless it is absolute. Raises FileError if it leaves /output."""
        if "\0" in path:
            raise FileError("A path must not contain NUL")
        absolute = path.startswith("/")
        names: list[str] = [] if absolute else [OUTPUT[1:], workdir.agent]
        for part in path.split("/"):
            if part == "..":
                names = names[:-1]
            elif part not in ("", "."):
                names.append(part)
        if names[:1] != [OUTPUT[1:]]:
            raise FileError(f"{shown(path)} is outside {OUTPUT}, where all files are")
        if len(names) > DEEPEST:
            raise FileError(f"{shown(path)} is nested too deeply")
        return cls(tuple(names[1:]))

    def __str__(self) -> str:
        return shown("/".join((OUTPUT, *self.names)))


def shown(name: str) -> str:
    """A name as text for a model, without invalid Unicode and characters that would look like another line."""
    text = os.fsencode(name).decode(errors="replace") if not name.isascii() else name
    return text if text.isprintable() else text.encode("unicode_escape").decode()


@contextlib.contextmanager
def explained(place: CrewPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileError(f"{place} {_REASONS.get(error.errno or 0, 'cannot be used')}") from error


@contextlib.contextmanager
def directory(workdir: Workdir, place: CrewPath, *, make: bool = False) -> Iterator[int]:
    """An open directory of the crew's; `make`: with what is missing on the way, for the user of the sandbox."""
    output = workdir.open_output()
    try:
        with explained(place):
            opened = open_directory(output, place.names, make=make, owner=workdir.owner)
    finally:
        os.close(output)
    try:
        yield opened
    finally:
        os.close(opened)


def is_file(workdir: Workdir, place: CrewPath) -> bool:
    """A file, or else a directory. Raises FileError for what is neither, or is not there."""
    if not place.names:
        return False
    with directory(workdir, CrewPath(place.names[:-1])) as parent, explained(place):
        try:
            os.close(open_file(parent, place.names[-1]))
        except IsADirectoryError:
            return False
    return True


def read(descriptor: int, limit: int) -> bytes:
    """At most `limit` bytes, however fast the file grows."""
    pieces: list[bytes] = []
    while limit > 0 and (piece := os.read(descriptor, min(limit, 1 << 20))):
        pieces.append(piece)
        limit -= len(piece)
    return b"".join(pieces)


def read_file(workdir: Workdir, place: CrewPath) -> bytes:
    """Raises FileError for more than READ_LIMIT bytes."""
    if not place.names:
        raise FileError(f"{place} is a directory")
    with directory(workdir, CrewPath(place.names[:-1])) as parent, explained(place):
        descriptor = open_file(parent, place.names[-1])
        try:
            content = read(descriptor, READ_LIMIT + 1)
        finally:
            os.close(descriptor)
    if len(content) > READ_LIMIT:
        raise FileError(f"{place} is longer than {READ_LIMIT >> 20} MiB: too much to read at once")
    return content


def write_file(workdir: Workdir, place: CrewPath, content: bytes) -> bool:
    """Replaces the whole file: a reader sees the old content or the new. True if there was none. It keeps its mode."""
    if not place.names:
        raise FileError(f"{place} is a directory")
    if place.names[1:2] == (ATTACHMENTS,):
        raise FileError(f"{place} is an attached file, which can be read but not changed")
    name = place.names[-1]
    with directory(workdir, CrewPath(place.names[:-1]), make=True) as parent, explained(place):
        mode = mode_of_replaced(parent, name)
        made = f".{secrets.token_hex(8)}.new"
        descriptor = os.open(made, NEW, 0o600, dir_fd=parent)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(content)
            workdir.give(descriptor)
            os.fchmod(descriptor, 0o644 if mode is None else mode)
            os.rename(made, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made, dir_fd=parent)
            raise
        finally:
            os.close(descriptor)
    return mode is None


@dataclass(frozen=True, slots=True)
class Found:
    """An entry below a directory. `kind` is "file", "directory", "link" or "other"."""

    names: tuple[str, ...]
    kind: str
    size: int


def walk(start: int, *, depth: int, skip: frozenset[str] = frozenset()) -> Iterator[tuple[int, list[Found]]]:
    """Directories from `start` down, sorted, `depth` levels: an open descriptor, valid for this step, and the entries.

    Each directory is opened from `start` again, so a directory that was moved or exchanged is skipped or seen where it
    is.
    """
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        names = waiting.pop()
        try:
            here = open_directory(start, names)
        except OSError:
            continue
        try:
            entries = _entries(here, names)
            if len(names) + 1 < min(depth, DEEPEST):
                below = (
                    entry.names
                    for entry in reversed(entries)
                    if entry.kind == "directory" and entry.names[-1] not in skip
                )
                waiting.extend(below)
            yield here, entries
        finally:
            os.close(here)


def _entries(directory: int, names: tuple[str, ...]) -> list[Found]:
    found = []
    with os.scandir(directory) as listed:
        for entry in itertools.islice(listed, MOST_ENTRIES):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            found.append(Found((*names, entry.name), kind_of(status.st_mode), status.st_size))
    return sorted(found, key=lambda entry: entry.names)
