"""Writing of a bundle, piece by piece: no bundle and no file of one is in memory.

    bundle   zstd(tar(MANIFEST.json, RESTORE.md, key?, blobs?, payload)), and a frame that zstd skips: SHA-256 of all
             before it
    payload  zstd(tar(…)), sealed with age or not

A bundle has its name only when it is whole and on the disk: until then it is called `.partial`.
"""

import hashlib
import io
import os
import struct
import tarfile
import time
from pathlib import Path
from typing import IO, Any, Final

from resolvers.instance.bundles.sealing import Piped, Sealing, sealed_into
from resolvers.instance.confined import sync_directory
from resolvers.instance.telemetry import log

MANIFEST: Final = "MANIFEST.json"
GUIDE: Final = "RESTORE.md"
KEY: Final = "key"
BLOBS: Final = "blobs"
PAYLOAD: Final = "payload"
PARTIAL: Final = ".partial"
COPIED: Final = 1 << 20  # bytes
LEVEL: Final = 3  # of compression
_SKIPPED: Final = 0x184D2A50
MARK: Final = b"CREWSHIP"
TRAILER: Final = 8 + len(MARK) + 32  # bytes


class Measured:
    """A file that counts and hashes what is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.size, self._hash = file, 0, hashlib.sha256()

    def write(self, content: Any) -> int:
        self._file.write(content)
        self._hash.update(content)
        size = len(content)
        self.size += size
        return size

    def flush(self) -> None:
        self._file.flush()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class Payload:
    """The payload while it is written, in a file without a name of its own. Its functions block."""

    def __init__(self, folder: Path, sealing: Sealing | None) -> None:
        import zstandard

        self.path = folder / f".{os.urandom(8).hex()}{PAYLOAD}{PARTIAL}"
        opened = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: IO[bytes] = os.fdopen(opened, "r+b")
        self._measured = Measured(self._file)
        self._sealed: Piped | None = None if sealing is None else sealed_into(self._measured, sealing)
        target: Any = self._measured if self._sealed is None else self._sealed.file
        packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
        self._packed: Any = packer.stream_writer(target, closefd=False)
        self._tar: Any = _tar_into(self._packed)
        self.content = 0  # bytes of its entries

    def add(self, name: str, content: bytes) -> None:
        self.copy(name, io.BytesIO(content), len(content))

    def copy(self, name: str, file: IO[bytes], size: int) -> None:
        self._tar.addfile(_entry(name, size), file)
        self._tar.members = []  # of a stream, which asks for none
        self.content += size

    def finish(self) -> tuple[int, str]:
        """Its size and digest, as it lies on the disk."""
        self._tar.close()
        self._packed.close()
        if self._sealed is not None:
            self._sealed.finish()
        self._file.flush()
        return self._measured.size, self._measured.sha256

    def put_into(self, tar: tarfile.TarFile) -> None:
        self._file.seek(0)
        tar.addfile(_entry(PAYLOAD, self._measured.size, 0o600), self._file)

    def close(self) -> None:
        """Removes the file; the end of a writing that was cut off."""
        if self._sealed is not None:
            try:
                self._sealed.finish()
            except Exception as error:
                log.info("a payload was not sealed to its end", error=str(error))
        self._file.close()
        self.path.unlink(missing_ok=True)


def write_bundle(
    target: Path, manifest: bytes, guide: str, key: bytes | None, payload: Payload, blobs: bytes | None = None
) -> int:
    """Returns its size. `target` exists with all of it, or not at all. `blobs`: the list of contents beside it."""
    import zstandard

    partial = target.with_name(target.name + PARTIAL)
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        measured: Any = Measured(file)
        packer = zstandard.ZstdCompressor(level=1, write_checksum=True)
        with packer.stream_writer(measured, closefd=False) as packed, _tar_into(packed) as tar:
            tar.addfile(_entry(MANIFEST, len(manifest), 0o644), io.BytesIO(manifest))
            tar.addfile(_entry(GUIDE, len(guide.encode()), 0o644), io.BytesIO(guide.encode()))
            if key is not None:
                tar.addfile(_entry(KEY, len(key), 0o600), io.BytesIO(key))
            if blobs is not None:
                tar.addfile(_entry(BLOBS, len(blobs), 0o600), io.BytesIO(blobs))
            payload.put_into(tar)
        file.write(trailer(bytes.fromhex(measured.sha256)))
        file.flush()
        os.fsync(file.fileno())
    os.rename(partial, target)
    sync_directory(target.parent)
    return int(measured.size) + TRAILER


def _tar_into(file: Any) -> tarfile.TarFile:
    return tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT, bufsize=COPIED)


def trailer(digest: bytes) -> bytes:
    return struct.pack("<II", _SKIPPED, len(MARK) + len(digest)) + MARK + digest


def _entry(name: str, size: int, mode: int = 0o600) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.mode, made.mtime = size, mode, int(time.time())
    return made
