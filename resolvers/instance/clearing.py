"""Removes directories with all their contents, regardless of what a command created there.

It follows no link. Depth does not matter: lower directories are moved up beside their parent, so that the stack, the
open descriptors and the paths stay small.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Protocol, TypeAlias

REMOVED: Final = "removed"
"""The directory, beside all others, in which directories are removed."""
PAGE: Final = 500  # entries of a directory that are looked at together
Scanned: TypeAlias = "os._ScandirIterator[str]"
_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)

_PATH: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_ROUNDS: Final = 20
"""The most looks into a directory that another program fills meanwhile."""


class Base(Protocol):
    """Opens a directory by names, from where all files are kept, and follows no link."""

    def __call__(self, names: tuple[str, ...], *, make: bool = False) -> int: ...


def discard(base: Base, names: Sequence[str]) -> bool:
    """Removes the file or directory; False if it does not exist or the name is invalid."""
    with _set_aside(base, names) as (waste, moved):
        if waste is None:
            return False
        _clear(waste, [moved] if moved else [])
    return True


def set_aside(base: Base, names: Sequence[str]) -> bool:
    """The quick part of a removal: the name is free at once, and `clear` removes the contents later."""
    with _set_aside(base, names) as (waste, _):
        return waste is not None


@contextlib.contextmanager
def _set_aside(base: Base, names: Sequence[str]) -> Iterator[tuple[int | None, str | None]]:
    """The open directory of waste, and the name of the directory in it; None if it did not exist."""
    if not names or any(name in ("", ".", "..") or "/" in name or "\0" in name for name in names):
        yield None, None
        return
    with contextlib.ExitStack() as opened:
        try:
            above = base(tuple(names[:-1]))
            opened.callback(os.close, above)
            waste = base((REMOVED,), make=True)
            opened.callback(os.close, waste)
            found: tuple[int | None, str | None] = waste, _away(above, names[-1], waste)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            found = None, None
        yield found


def clear(base: Base) -> None:
    """Removes the remains of processes that died during a removal."""
    waste = base((REMOVED,), make=True)
    try:
        _clear(waste, os.listdir(waste))
    finally:
        os.close(waste)


def listed(base: Base, names: Sequence[str]) -> "Scanned | None":
    """A directory that is read page by page; None if it does not exist."""
    try:
        here = base(tuple(names))
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    try:
        return os.scandir(here)  # with a descriptor of its own
    finally:
        os.close(here)


def directories(found: "Scanned") -> Sequence[str] | None:
    """The directories among the next entries whose names are Unicode. None at the end."""
    entries = list(islice(found, PAGE))
    names = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return [name for name in names if name.isprintable()] if entries else None


def _clear(waste: int, names: list[str]) -> None:
    """Another process may be at the same ones."""
    left = list(names)
    while left:
        with contextlib.suppress(FileNotFoundError):
            left += _emptied(waste, left.pop())


def _emptied(waste: int, name: str) -> list[str]:
    """Removes a directory; those that were in it are in `waste` from now on, under the names that are returned."""
    moved: list[str] = []
    for round in range(MOST_ROUNDS):
        here = _opened(waste, name)
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        moved += filter(None, [_away(here, entry.name, waste)])
        finally:
            os.close(here)
        try:
            os.rmdir(name, dir_fd=waste)
        except OSError:
            if round == MOST_ROUNDS - 1:
                raise
        else:
            break
    return moved


def _away(parent: int, name: str, waste: int) -> str | None:
    """Unlinks a file; moves a directory, and returns its name in `waste`."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=parent)
        return None
    made = secrets.token_hex(16)
    try:
        os.rename(name, made, src_dir_fd=parent, dst_dir_fd=waste)
    except PermissionError:  # to be moved elsewhere, it has to be writable
        _allowed(parent, name)
        os.rename(name, made, src_dir_fd=parent, dst_dir_fd=waste)
    return made


def _opened(parent: int, name: str) -> int:
    _allowed(parent, name)
    return os.open(name, _READ, dir_fd=parent)


def _allowed(parent: int, name: str) -> None:
    """Its owner may have taken its permissions away."""
    there = os.open(name, _PATH, dir_fd=parent)
    try:
        with contextlib.suppress(PermissionError):
            os.chmod(f"/proc/self/fd/{there}", 0o700)
    finally:
        os.close(there)
