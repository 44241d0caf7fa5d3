"""Files of a workspace on their way into a bundle and out of it. No link is followed in either direction.

In a payload each file is an entry `files/<number>.json`, which describes it, and the entry `blobs/<sha256>` with its
content, unless an earlier file had the same.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

import orjson

from resolvers.errors import Refusal
from resolvers.instance.bundles.beside import IS_PATH
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.writing import COPIED, Payload
from resolvers.instance.confined import NEW, open_directory, open_file
from resolvers.instance.store import names_of

SPOOLED: Final = 4 << 20  # bytes of a file in memory; more are on the disk
MOST_KNOWN: Final = 200_000
"""Contents that are remembered while a bundle is written, so that none is in it twice; later ones may be."""
FILES, BLOBS = "files/", "blobs/"


@dataclass(slots=True)
class Counted:
    files: int = 0
    bytes: int = 0
    skipped: int = 0


class Apart(Protocol):
    """Puts a content, given by its SHA-256 and size, beside the bundle and returns its path; None if it belongs into
    the payload.
    """

    def __call__(self, sha256: str, size: int, content: IO[bytes], /) -> str | None: ...


def add_files(
    payload: Payload,
    base: int,
    left_out: frozenset[tuple[str, ...]],
    counted: Counted,
    apart: Apart | None = None,
    only: frozenset[tuple[str, ...]] | None = None,
) -> Iterator[str]:
    """Adds what is below an open directory, and yields each path. `left_out`: names of directories from here; `*` is
    any name. `only`: the directories that are taken, of all others. What is no plain file, or cannot be named, is
    skipped and counted. A file that changes meanwhile is taken
    as it was read.
    """
    known = dict[str, None]()
    for path, folders, names, here in os.fwalk(".", dir_fd=base, follow_symlinks=False):
        above = tuple(part for part in path.split("/") if part not in ("", "."))
        folders[:] = sorted(
            name for name in folders if not _is_in((*above, name), left_out) and _leads((*above, name), only)
        )
        for name in sorted(names) if _is_below(above, only) else ():
            try:
                whole = "/".join((*above, name))
                whole.encode()
                names_of(whole)
                file = os.fdopen(open_file(here, name), "rb")
            except (OSError, Refusal, UnicodeEncodeError):
                counted.skipped += 1
                continue
            with file:
                _add_file(payload, whole, file, known, counted, apart)
            yield whole


def _is_in(names: tuple[str, ...], left_out: frozenset[tuple[str, ...]]) -> bool:
    return any(
        len(names) == len(each) and all(part in ("*", name) for part, name in zip(each, names, strict=True))
        for each in left_out
    )


def _is_below(names: tuple[str, ...], only: frozenset[tuple[str, ...]] | None) -> bool:
    return only is None or any(names[: len(each)] == each for each in only)


def _leads(names: tuple[str, ...], only: frozenset[tuple[str, ...]] | None) -> bool:
    """Returns true if a directory is one of them, in one, or on the way to one."""
    return _is_below(names, only) or any(each[: len(names)] == names for each in only or ())


def _add_file(
    payload: Payload, path: str, file: IO[bytes], known: dict[str, None], counted: Counted, apart: Apart | None
) -> None:
    digest, size = hashlib.sha256(), 0
    with tempfile.SpooledTemporaryFile(SPOOLED, dir=str(payload.path.parent)) as spooled:
        copy: Any = spooled
        while part := file.read(COPIED):
            digest.update(part)
            size += len(part)
            copy.write(part)
        copy.seek(0)
        found = digest.hexdigest()
        mode = os.fstat(file.fileno()).st_mode & 0o777
        described = {"path": path, "size": size, "mode": mode, "sha256": found}
        beside = None if apart is None else apart(found, size, copy)
        if beside is not None:
            described["blob"] = beside
        payload.add(f"{FILES}{counted.files}.json", orjson.dumps(described))
        if beside is None and found not in known:
            payload.copy(f"{BLOBS}{found}", copy, size)
            if len(known) < MOST_KNOWN:
                known[found] = None
    counted.files += 1
    counted.bytes += size


@dataclass(frozen=True, slots=True)
class Described:
    """A file of a bundle, by the words of the bundle."""

    names: tuple[str, ...]
    size: int
    mode: int
    sha256: str
    blob: str | None = None  # the path of a content that lies beside the bundle

    @classmethod
    def read(cls, content: bytes) -> "Described":
        """Raises BundleError for what was not written by `add_files`."""
        try:
            found: dict[str, Any] = orjson.loads(content)
            names = names_of(found["path"])
            blob = found.get("blob")
            made = cls(names, int(found["size"]), int(found["mode"]) & 0o755, str(found["sha256"]), blob)
            if blob is not None and not IS_PATH.fullmatch(blob):
                raise ValueError("no path of a content")
        except (Refusal, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                BundleFault.invalid_checksum, "The bundle has a file whose name leads out of its folder"
            ) from error
        if not names or made.size < 0:
            raise BundleError(BundleFault.invalid_checksum, "The bundle has a file without a name")
        return made


def put_file(base: int, file: Described, content: IO[bytes], owner: int | None, *, replace: bool) -> bool:
    """Writes a file below an open directory, whole or not at all. False if there is one already, and it stays."""
    parent = open_directory(base, file.names[:-1], make=True, owner=owner)
    try:
        name, partial = file.names[-1], f".{os.urandom(8).hex()}.partial"
        if not replace and _exists(parent, name):
            return False
        digest = hashlib.sha256()
        with os.fdopen(os.open(partial, NEW, 0o600, dir_fd=parent), "wb") as made:
            try:
                while part := content.read(COPIED):
                    digest.update(part)
                    made.write(part)
                if digest.hexdigest() != file.sha256:
                    raise BundleError(BundleFault.invalid_checksum, "A file of the bundle differs from its checksum")
                made.flush()
                if owner is not None:
                    os.fchown(made.fileno(), owner, owner)
                os.fchmod(made.fileno(), file.mode | 0o600)
                os.fsync(made.fileno())
                os.rename(partial, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                os.unlink(partial, dir_fd=parent)
                raise
        os.fsync(parent)
        return True
    finally:
        os.close(parent)


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def has_room(folder: str, size: int) -> bool:
    """Returns true if a disk has this much, and a twentieth of itself beyond that."""
    usage = shutil.disk_usage(folder)
    return usage.free - size > min(usage.total // 20, 1 << 30)
