"""Access to files that others may change at any moment, without following any link.

A path is split as text and opened step by step, each directory relative to the previous one; a symbolic link is refused
wherever it is and wherever it points. No name is looked up twice, so exchanging a file in between has no effect. The
descriptor decides what was opened: pipes, sockets and devices are refused.

See ADR 87.
"""

import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

SANDBOX_UID: Final = 79001
"""The user of agents' commands when the service runs as root.

The user has no account, so it owns nothing else, and limits of other users do not count its processes.
"""
ATTACHMENTS: Final = "attachments"
"""The folder in an agent's own that people put files into, one for each chat; the agent only reads it."""
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe waits for a writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"), (stat.S_ISLNK, "link"))


def owner_of_agents_files() -> int | None:
    """The owner of new files of a crew: the sandbox's user if the service runs as root; None for the service's own
    user.
    """
    return SANDBOX_UID if os.geteuid() == 0 else None


def open_directory(parent: int, names: Sequence[str], *, make: bool = False, owner: int | None = None) -> int:
    """The directory that is reached from `parent` by `names`, as a new descriptor. No name may be `..`.

    A symlink on the way is an error (ELOOP, ENOTDIR), wherever it points. `make`: missing ones are made, for `owner`.
    """
    here = os.dup(parent)
    try:
        for name in names:
            made = False
            if make:
                try:
                    os.mkdir(name, 0o700, dir_fd=here)
                    made = True
                except FileExistsError:
                    pass
            below = os.open(name, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
            if made and owner is not None:
                os.fchown(here, owner, owner)
    except BaseException:
        os.close(here)
        raise
    return here


def open_file(parent: int, name: str) -> int:
    """A regular file in an open directory.

    Raises OSError for anything else: ELOOP for a link, ENXIO for a pipe or device, EISDIR.
    """
    descriptor = os.open(name, _READ, dir_fd=parent)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO, "not a regular file")


def mode_of_replaced(parent: int, name: str) -> int | None:
    """The permissions of the file that is about to be replaced; None when there is none. Only files are replaced."""
    try:
        found = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found):
        raise OSError(errno.ELOOP, "a symbolic link")
    if stat.S_ISDIR(found):
        raise OSError(errno.EISDIR, "a directory")
    if not stat.S_ISREG(found):
        raise OSError(errno.ENXIO, "not a regular file")
    return stat.S_IMODE(found) & 0o777


def kind_of(mode: int) -> str:
    """`file`, `directory`, `link` or `other`."""
    return next((kind for test, kind in _KINDS if test(mode)), "other")


def sync_directory(path: str | os.PathLike[str]) -> None:
    """Returns when the names in a directory are on the disk."""
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
