"""Reading of bundles, which may be anybody's: cut, changed, made to harm.

A bundle is opened once and read through this descriptor. Its manifest is believed only so far as everything is
compared with it: the sizes limit what is unpacked, and the payload repeats what a restore relies on.
"""

import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import orjson

from resolvers.instance.bundles import writing
from resolvers.instance.bundles.beside import NOT_ITS_LIST, Blob, BundleContents, listed
from resolvers.instance.bundles.beside import fault as beside_fault
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.sealing import MOST_KEY, Unsealed

FORMATS: Final = range(1, 4)
MOST_MANIFEST: Final = 4 << 20
MOST_BEFORE: Final = 16  # entries ahead of the payload
MAGIC: Final = b"\x28\xb5\x2f\xfd"  # of a frame of zstd (RFC 8878)
WINDOW: Final = 1 << 27  # bytes that unpacking may hold
NOT_WHOLE: Final = "The bundle was changed or cut: its checksum does not match"
NO_BUNDLE: Final = "The file is not a bundle of Crewship"


class Bundle:
    """An open bundle. Its functions block."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, and BundleError for one without a readable manifest."""
        self.path = path
        self.beside: BundleContents | None = None  # where the contents are that lie beside it
        # without O_NONBLOCK, opening a pipe waits for a writer
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        self._file: IO[bytes] = os.fdopen(opened, "rb")
        try:
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise BundleError(BundleFault.invalid_manifest, NO_BUNDLE)
            self.size = found.st_size
            self.manifest = self._read_manifest()
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fault(self) -> str:
        """The text of what is wrong with it as a file; empty if it is whole. Reads all of it, and opens no seal."""
        try:
            self.check()
        except BundleError as error:
            return str(error)
        return ""

    def check(self) -> None:
        """Raises BundleError if a single byte differs from what was written."""
        self._file.seek(0)
        left, digest = self.size - writing.TRAILER, hashlib.sha256()
        if left <= 0:
            raise BundleError(BundleFault.invalid_checksum, NOT_WHOLE)
        while left > 0 and (part := self._file.read(min(writing.COPIED, left))):
            digest.update(part)
            left -= len(part)
        if left or self._file.read(writing.TRAILER + 1) != writing.trailer(digest.digest()):
            raise BundleError(BundleFault.invalid_checksum, NOT_WHOLE)
        digest = hashlib.sha256()
        with self._at_payload() as (sealed, _):
            while part := sealed.read(writing.COPIED):
                digest.update(part)
        if f"sha256:{digest.hexdigest()}" != _told(self.manifest, "checksums", "payload_sha256"):
            raise BundleError(BundleFault.invalid_checksum, NOT_WHOLE)

    def has_end(self) -> bool:
        """Returns false for a bundle that was cut. Reads its last bytes alone: `check` compares all."""
        mark = writing.trailer(bytes(32))[:-32]
        if self.size < writing.TRAILER:
            return False
        self._file.seek(-writing.TRAILER, os.SEEK_END)
        return self._file.read(len(mark)) == mark

    def key(self) -> bytes | None:
        """The entry of a bundle with a passphrase."""
        with self._at_payload() as (_, key):
            return key

    def blobs(self) -> Iterator[Blob]:
        """The contents that lie beside it."""
        import zstandard

        expected = _told(self.manifest, "contents", "blobs")
        if not expected:
            return
        count = 0
        try:
            with self._unpacked() as tar:
                for _ in range(MOST_BEFORE):
                    if (entry := tar.next()) is None or not entry.isreg() or entry.name == writing.PAYLOAD:
                        break
                    if entry.name == writing.BLOBS:
                        for count, blob in enumerate(listed(_content(tar, entry)), 1):  # noqa: B007
                            yield blob
                        break
        except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
            raise BundleError(BundleFault.invalid_checksum, NOT_WHOLE) from error
        if count != expected:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_LIST)

    def beside_fault(self) -> str:
        """The text of what is wrong with the contents beside it; empty if all are whole."""
        try:
            return next((text for blob in self.blobs() if (text := beside_fault(blob, self.beside))), "")
        except BundleError as error:
            return str(error)

    @property
    def sealed(self) -> bool:
        return bool(_told(self.manifest, "encryption", "enabled"))

    @contextmanager
    def entries(self, identity: str | None) -> Iterator[Iterator[tuple[str, int, IO[bytes]]]]:
        """The entries of the payload: names, sizes and contents, in order. No more is unpacked than the manifest
        announces. The end of the block raises BundleError unless the payload was whole.
        """
        import zstandard

        most = _told(self.manifest, "checksums", "content_bytes")
        if not isinstance(most, int):
            raise BundleError(BundleFault.invalid_manifest, "The manifest does not say how large the content is")
        with self._at_payload() as (payload, _):
            opened = Unsealed(payload, identity) if identity is not None else None
            try:
                packed = payload if opened is None else opened.file
                unpacked = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(packed, closefd=False)
                try:
                    yield _limited(unpacked, most)
                except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
                    if opened is not None:
                        opened.finish()
                    raise BundleError(BundleFault.invalid_checksum, NOT_WHOLE) from error
                if opened is not None:
                    opened.finish()
            finally:
                if opened is not None:
                    opened.close()

    def _read_manifest(self) -> dict[str, Any]:
        import zstandard

        try:
            with self._unpacked() as tar:
                first = tar.next()
                if first is None or first.name != writing.MANIFEST or not first.isreg() or first.size > MOST_MANIFEST:
                    raise BundleError(BundleFault.invalid_manifest, NO_BUNDLE)
                content = tar.extractfile(first)
                manifest = orjson.loads(b"" if content is None else content.read())
        except BundleError:
            raise
        except Exception as error:
            self._file.seek(0)
            cut = isinstance(error, zstandard.ZstdError) or str(error) in ("unexpected end of data", "empty file")
            damaged = cut and self._file.read(len(MAGIC)) == MAGIC
            raise BundleError(BundleFault.invalid_manifest, NOT_WHOLE if damaged else NO_BUNDLE) from error
        _check_manifest(manifest)
        return manifest  # type: ignore[no-any-return]

    @contextmanager
    def _unpacked(self) -> Iterator[tarfile.TarFile]:
        import zstandard

        self._file.seek(0)
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(self._file, closefd=False)
        with tarfile.open(fileobj=reader, mode="r|", bufsize=writing.COPIED) as tar:
            yield tar

    @contextmanager
    def _at_payload(self) -> Iterator[tuple[IO[bytes], bytes | None]]:
        import zstandard

        try:
            with self._unpacked() as tar:
                key = None
                for _ in range(MOST_BEFORE):
                    entry = tar.next()
                    if entry is None or not entry.isreg():
                        break
                    if entry.name == writing.KEY and entry.size <= MOST_KEY:
                        key = _content(tar, entry).read()
                    if entry.name == writing.PAYLOAD:
                        yield _content(tar, entry), key
                        return
                raise BundleError(BundleFault.invalid_manifest, "The bundle has no payload")
        except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
            raise BundleError(BundleFault.invalid_checksum, NOT_WHOLE) from error


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(entry)
    if content is None:
        raise BundleError(BundleFault.invalid_checksum, NOT_WHOLE)
    return content


def _limited(unpacked: IO[bytes], most: int) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Plain files only; a payload with anything else was not written by us."""
    with tarfile.open(fileobj=unpacked, mode="r|", bufsize=writing.COPIED) as opened:
        tar: Any = opened  # a stream keeps its members, which are many
        while (entry := tar.next()) is not None:
            most -= entry.size
            if not entry.isreg() or entry.issparse() or entry.size < 0 or most < 0:
                raise BundleError(
                    BundleFault.invalid_checksum, "The payload has more, or other entries than its manifest"
                )
            yield entry.name, entry.size, _content(tar, entry)
            tar.members = []
    while unpacked.read(writing.COPIED):  # up to the end of the frame, which has a checksum
        pass


def _check_manifest(manifest: Any) -> None:
    if not isinstance(manifest, dict):
        raise BundleError(BundleFault.invalid_manifest, NO_BUNDLE)
    version = manifest.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise BundleError(BundleFault.invalid_manifest, NO_BUNDLE)
    if version > FORMATS[-1]:
        raise BundleError(
            BundleFault.format_too_new, f"The bundle has format {version}; this release reads {FORMATS[-1]}"
        )
    if version < FORMATS[0]:
        raise BundleError(BundleFault.format_too_old, f"The bundle has format {version}, which no release writes")
    parts = ("contents", "encryption", "checksums", "source_instance", "created_by")
    if not all(isinstance(manifest.get(part), dict) for part in parts):
        raise BundleError(BundleFault.invalid_manifest, NO_BUNDLE)


def _told(manifest: Any, part: str, name: str) -> Any:
    return manifest[part].get(name)
