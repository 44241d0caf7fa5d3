"""Contents of files that lie beside a bundle, so that the next bundle need not have them again.

    blobs/<time and a random number>/<name>   zstd, then age, for the key of the bundle; the name is an HMAC

The entry `blobs` of a bundle lists those that it needs, with the checksums of the sealed bytes: whether a bundle is
complete can be seen without its key. The first part of a path is of the bundle that sent the content; a name is never
written twice.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final, Protocol

from resolvers.instance.bundles import writing
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.sealing import Unsealed

WINDOW: Final = 1 << 27
_PATH: Final = "[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}/[0-9a-f]{64}"
IS_PATH: Final = re.compile(_PATH)
_LINE: Final = re.compile(f"({_PATH}) ([0-9a-f]{{64}}) ([0-9]{{1,15}})\n".encode())
LONGEST: Final = 200  # bytes of a line
NOT_ITS_LIST: Final = "The bundle has a list of contents that is none"
MISSING: Final = "The bundle needs {}, which is not beside it"
CHANGED: Final = "The bundle needs {}, which was changed or cut"


@dataclass(frozen=True, slots=True)
class Blob:
    """A sealed content. `sha256` and `size` are of the sealed bytes."""

    path: str
    sha256: str
    size: int

    @property
    def line(self) -> bytes:
        return f"{self.path} {self.sha256} {self.size}\n".encode()


class BundleContents(Protocol):
    """The place beside a bundle."""

    def opened(self, path: str) -> AbstractContextManager[IO[bytes]]:
        """Raises FileNotFoundError."""


def listed(entry: IO[bytes]) -> Iterator[Blob]:
    """Raises BundleError."""
    while line := entry.readline(LONGEST):
        if (found := _LINE.fullmatch(line)) is None:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_LIST)
        yield Blob(found[1].decode(), found[2].decode(), int(found[3]))


def fault(blob: Blob, beside: BundleContents | None) -> str:
    """The text of what is wrong with it; empty if every byte is as it was sent. Opens no seal."""
    compared = ComparedContent(blob, beside)
    try:
        with compared.opened(blob.path):
            pass
    except FileNotFoundError:
        return MISSING.format(blob.path)
    return compared.fault


class ComparedContent:
    """One content beside a bundle, which is compared with the list of the bundle while it is read."""

    def __init__(self, blob: Blob, beside: BundleContents | None) -> None:
        self._blob, self._beside = blob, beside
        self.fault = ""

    @contextmanager
    def opened(self, path: str) -> Iterator[IO[bytes]]:
        if self._beside is None:
            raise FileNotFoundError(path)
        with self._beside.opened(path) as file:
            read: Any = _Hashed(file, self._blob.size)
            yield read
            while read.read(writing.COPIED):
                pass
        if read.left != 1 or read.sha256 != self._blob.sha256:
            self.fault = CHANGED.format(self._blob.path)


class _Hashed:
    """Reads and hashes at most one byte more than the content is said to have."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self.left, self._digest = file, size + 1, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        part = self._file.read(min(size, self.left) if size >= 0 else self.left) if self.left else b""
        self._digest.update(part)
        self.left -= len(part)
        return part

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _AtMost:
    """Reads at most one byte more than the file is said to have: that is enough for its checksum to differ."""

    def __init__(self, file: Any, size: int) -> None:
        self._file, self._left = file, size + 1

    def read(self, size: int) -> bytes:
        part: bytes = self._file.read(min(size, self._left)) if self._left else b""
        self._left -= len(part)
        return part


def content_fault(path: str, size: int, sha256: str, identity: str, beside: BundleContents | None) -> str:
    """The text of what is wrong with a content below its seal."""
    digest = hashlib.sha256()
    try:
        with content(path, size, identity, beside) as file:
            while part := file.read(writing.COPIED):
                digest.update(part)
    except BundleError as error:
        return str(error)
    return "" if digest.hexdigest() == sha256 else CHANGED.format(path)


@contextmanager
def content(path: str, size: int, identity: str, beside: BundleContents | None) -> Iterator[IO[bytes]]:
    """The content that a sealed one has. Raises BundleError."""
    import zstandard

    if beside is None:
        raise BundleError(BundleFault.invalid_checksum, MISSING.format(path))
    try:
        with beside.opened(path) as sealed:
            opened = Unsealed(sealed, identity)
            try:
                unpacked: Any = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(opened.file)
                limited: Any = _AtMost(unpacked, size)
                yield limited
            finally:
                opened.close()
    except FileNotFoundError:
        raise BundleError(BundleFault.invalid_checksum, MISSING.format(path)) from None
    except zstandard.ZstdError as error:
        raise BundleError(BundleFault.invalid_checksum, CHANGED.format(path)) from error
