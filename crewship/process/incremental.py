"""Incremental bundles: contents of large files lie beside them, and each is sent once. `Apart` sends them, `sweep`
deletes those that no bundle needs.

No lock protects them, as a bucket has none, and a process that was killed would keep it. Instead nothing is deleted
that a bundle under way can rely on:

* a bundle that is rotated is marked first, and a bundle that is made relies on no marked one;
* a mark is GRACE old before the contents that only this bundle needs are deleted, then the bundle, then the mark;
* a bundle that took longer than LONGEST, which is half of that, is given up.
"""

import hashlib
import hmac
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from crewship.process.blob_stores import BLOBS, BlobPlace, Stored
from crewship.process.buckets import HEAD
from crewship.process.database import StartError
from resolvers.instance.bundles import sealing
from resolvers.instance.bundles.beside import CHANGED, MISSING, Blob
from resolvers.instance.bundles.faults import BundleError
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.bundles.writing import COPIED, LEVEL, Measured
from resolvers.oversight.backups.places import SUFFIX

LEAST: Final = 64 << 10  # bytes of a content that lies beside the bundles; smaller ones are in each
GRACE: Final = 48 * 3600.0
LONGEST: Final = 24 * 3600.0
MARK: Final = ".expired"
KEY: Final = f"{BLOBS}/key"
MOST_KEY: Final = sealing.MOST_KEY
ANOTHER: Final = "{} is sealed with another passphrase: give that one, or name another folder"
TOO_LONG: Final = "the bundle took longer than a day, so that contents it relies on could be deleted: make it again"
MEANWHILE: Final = "contents in {} were deleted meanwhile: make the bundle again"


class BesideBundles:
    """The contents beside the bundles of a place, for those who restore one."""

    def __init__(self, place: BlobPlace) -> None:
        self._place = place

    def opened(self, path: str) -> AbstractContextManager[IO[bytes]]:
        return self._place.opened(f"{BLOBS}/{path}")


async def key_of(place: BlobPlace, passphrase: str) -> sealing.Sealing:
    """The key of a place, which the passphrase opens; made on first use. All its bundles have the same one: otherwise
    a bundle could not open contents that an earlier one has sent.
    """
    import pyrage

    if (entry := _read_key(place)) is None:
        made = await sealing.with_passphrase(passphrase)
        assert made.key is not None
        if place.put_new(KEY, made.key):
            return made
        entry = _read_key(place) or b""
    try:
        identity = await sealing.identity_of(entry, passphrase)
    except BundleError:
        raise StartError(ANOTHER.format(place.address)) from None
    # the key of the seal is never one that merely lies there in clear: who can write here cannot redirect it
    return sealing.Sealing(str(pyrage.x25519.Identity.from_str(identity).to_public()), entry)


def _read_key(place: BlobPlace) -> bytes | None:
    try:
        with place.opened(KEY) as file:
            return file.read(MOST_KEY)
    except FileNotFoundError:
        return None


@dataclass
class Apart:
    """Sends contents of files beside the bundle, unless an earlier bundle has them. Called for each file."""

    place: BlobPlace
    seal: sealing.Sealing
    secret: str
    folder: Path
    sent: int = 0
    sent_bytes: int = 0
    used: dict[str, Blob] = field(default_factory=dict)
    _known: dict[str, Blob] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._own = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{os.urandom(4).hex()}"
        there = sizes(self.place)
        for blobs in _of_bundles(self.place, without_marked=True, blocked=[]):
            for blob in blobs:
                if there.get(blob.path) == blob.size:
                    self._known[blob.path.rpartition("/")[2]] = blob

    def __call__(self, sha256: str, size: int, content: IO[bytes]) -> str | None:
        """The path of the content; None for one that belongs into the bundle."""
        if size < LEAST:
            return None
        # keyed, and by the recipient: equal contents under two keys have different names
        said = f"{self.seal.recipient} {sha256}".encode()
        name = hmac.new(self.secret.encode(), said, hashlib.sha256).hexdigest()
        blob = self.used.get(name) or self._known.get(name) or self._send(name, content)
        self.used[name] = blob
        return blob.path

    def _send(self, name: str, content: IO[bytes]) -> Blob:
        import zstandard

        with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".partial") as file:
            target: Any = file
            measured = Measured(target)
            sealed = sealing.sealed_into(measured, self.seal)
            packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
            with packer.stream_writer(sealed.file, closefd=False) as packed:
                while part := content.read(COPIED):
                    packed.write(part)
            sealed.finish()
            file.flush()
            blob = Blob(f"{self._own}/{name}", measured.sha256, measured.size)
            self.place.put(f"{BLOBS}/{blob.path}", Path(file.name))
        self.sent += 1
        self.sent_bytes += blob.size
        return blob

    def finish(self) -> bytes:
        """The list for the bundle. Raises StartError where the bundle could not rely on all of it."""
        if time.monotonic() - self._began > LONGEST:
            raise StartError(TOO_LONG)
        there = sizes(self.place) if self.used else {}
        if any(there.get(blob.path) != blob.size for blob in self.used.values()):
            raise StartError(MEANWHILE.format(self.place.address))
        return b"".join(blob.line for blob in sorted(self.used.values(), key=lambda blob: blob.path))

    @property
    def counted(self) -> dict[str, int]:
        """As the manifest says it."""
        total = sum(blob.size for blob in self.used.values())
        sent = {"blobs_sent": self.sent, "blob_bytes_sent": self.sent_bytes}
        return {"blobs": len(self.used), "blob_bytes": total} | sent


def sizes(place: BlobPlace) -> dict[str, int]:
    """The sizes of all contents beside the bundles of a place."""
    return {each.path.removeprefix(f"{BLOBS}/"): each.size for each in place.found(deep=True)}


def mark(place: BlobPlace, name: str) -> None:
    """The bundle is rotated: no list shows it, and none that is made relies on it."""
    place.put_new(name + MARK, b"")


@dataclass(frozen=True, slots=True)
class Swept:
    """`blocked`: bundles whose list of contents cannot be read; nothing is deleted beside them."""

    bundles: int = 0
    contents: int = 0
    blocked: tuple[str, ...] = ()


def sweep(place: BlobPlace) -> Swept:
    """Deletes marked bundles, and contents that no other bundle needs. The next call continues an interrupted one."""
    now, blocked, contents = time.time(), list[str](), 0
    over = [name for name, _, since in _bundles(place) if since is not None and now - since > GRACE]
    needed = {blob.path for blobs in _of_bundles(place, but=over, blocked=blocked) for blob in blobs}
    if blocked:
        return Swept(blocked=tuple(blocked))
    for each in place.found(deep=True):
        path = each.path.removeprefix(f"{BLOBS}/")
        if each.path != KEY and path not in needed and now - each.changed > GRACE:
            place.delete(each.path)
            contents += 1
    for name in over:
        place.delete(name)
        place.delete(name + MARK)
    return Swept(len(over), contents)


def missing_beside(place: BlobPlace, name: str, head: Path, size: int, there: Mapping[str, int]) -> str:
    """The text of what a bundle needs that is not beside it; empty if all is there, by its size. `head`: a file that
    begins as the bundle does. `there`: what `sizes` found.
    """
    try:
        with Bundle(head) as bundle:
            needed = list(bundle.blobs())
    except BundleError:  # the list is longer than what is here
        try:
            needed = _listed(place, name, size)
        except BundleError as error:
            return str(error)
    for blob in needed:
        if there.get(blob.path) != blob.size:
            return (CHANGED if blob.path in there else MISSING).format(blob.path)
    return ""


def has_contents(place: BlobPlace) -> bool:
    return any(each.path != KEY for each in place.found(deep=True))


def _bundles(place: BlobPlace) -> list[tuple[str, int, float | None]]:
    """Names, sizes, and the time of the mark."""
    files: dict[str, Stored] = {each.path: each for each in place.found(deep=False)}
    marks = {name: files.get(name + MARK) for name in files if name.endswith(SUFFIX)}
    return [(name, files[name].size, None if found is None else found.changed) for name, found in marks.items()]


def _of_bundles(
    place: BlobPlace, *, blocked: list[str], without_marked: bool = False, but: Iterable[str] = ()
) -> Iterator[list[Blob]]:
    """The contents that each bundle lists. `blocked` gets the names of those that cannot be read."""
    left_out = set(but)
    for name, size, since in _bundles(place):
        if name in left_out or (without_marked and since is not None):
            continue
        try:
            yield _listed(place, name, size)
        except (BundleError, OSError, StartError):
            blocked.append(name)


def _listed(place: BlobPlace, name: str, size: int) -> list[Blob]:
    """Reads as much of the beginning as the list takes."""
    span = HEAD
    while True:
        try:
            with place.head(name, min(span, size)) as head, Bundle(head) as bundle:
                return list(bundle.blobs())
        except BundleError:
            if span >= size:
                raise
        span *= 8
