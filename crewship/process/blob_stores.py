"""Where incremental bundles and the contents beside them lie: a folder, or a folder of a bucket.

Both write a file as a whole or not at all, and neither has a lock: `incremental` needs none.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from crewship.process import buckets
from resolvers.instance.bundles.writing import COPIED
from resolvers.instance.confined import sync_directory

BLOBS: Final = "blobs"


@dataclass(frozen=True, slots=True)
class Stored:
    """`path`: below the place. `changed`: seconds, by the clock of the place."""

    path: str
    size: int
    changed: float


class BlobPlace(Protocol):
    """Paths have `/`, and begin below the place."""

    address: str

    def opened(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Raises FileNotFoundError."""

    def put(self, path: str, content: Path) -> None:
        """Writes it from a file on this machine."""

    def put_new(self, path: str, content: bytes) -> bool:
        """False if there is one already, which stays."""

    def found(self, *, deep: bool) -> list[Stored]:
        """The files of the place itself, or those below `blobs`."""

    def delete(self, path: str) -> None:
        """Not an error if there is none."""

    def head(self, path: str, size: int) -> contextlib.AbstractContextManager[Path]:
        """A file with at least so many bytes of the beginning, or all."""


class FolderPlace:
    def __init__(self, folder: Path) -> None:
        self.address, self._folder = str(folder), folder

    @contextmanager
    def opened(self, path: str) -> Iterator[IO[bytes]]:
        with open(os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            yield file

    def put(self, path: str, content: Path) -> None:
        with open(content, "rb") as file:
            self._write(path, file, os.replace)

    def put_new(self, path: str, content: bytes) -> bool:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.seek(0)
            try:
                self._write(path, file, _link)
            except FileExistsError:
                return False
        return True

    def _write(self, path: str, file: IO[bytes], name: Any) -> None:
        target = self._folder / path
        made = not target.parent.is_dir()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = target.with_name(f".{os.urandom(8).hex()}.partial")
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as copy:
                while part := file.read(COPIED):
                    copy.write(part)
                copy.flush()
                os.fsync(copy.fileno())
            name(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)
        if made:
            sync_directory(target.parent.parent)

    def found(self, *, deep: bool) -> list[Stored]:
        return list(self._below(self._folder / BLOBS if deep else self._folder, deep))

    def _below(self, folder: Path, deep: bool) -> Iterator[Stored]:
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if deep:
                    yield from self._below(Path(entry.path), deep)
            elif entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    yield Stored(os.path.relpath(entry.path, self._folder), status.st_size, status.st_mtime)

    def delete(self, path: str) -> None:
        (self._folder / path).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            if path.startswith(f"{BLOBS}/"):
                (self._folder / path).parent.rmdir()  # the last of its bundle

    @contextmanager
    def head(self, path: str, size: int) -> Iterator[Path]:
        yield self._folder / path


def _link(partial: Path, target: Path) -> None:
    """Names a file unless the name exists."""
    os.link(partial, target)
    partial.unlink()


class BucketPlace:
    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._store = buckets.opened_store(self.address)

    @contextmanager
    def opened(self, path: str) -> Iterator[IO[bytes]]:
        import obstore

        with tempfile.TemporaryFile() as copy:
            with buckets.explained(f"{self.address}/{path}", absent=True):
                for part in obstore.get(self._store, path).stream(min_chunk_size=buckets.PART):
                    copy.write(part)
            copy.seek(0)
            yield copy

    def put(self, path: str, content: Path) -> None:
        import obstore

        with buckets.explained(f"{self.address}/{path}"):
            obstore.put(self._store, path, content, chunk_size=buckets.PART)

    def put_new(self, path: str, content: bytes) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        with buckets.explained(f"{self.address}/{path}"):
            try:
                obstore.put(self._store, path, content, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def found(self, *, deep: bool) -> list[Stored]:
        import obstore

        with buckets.explained(self.address):
            if deep:
                every = (meta for batch in obstore.list(self._store, prefix=BLOBS) for meta in batch)
                each = [meta for meta in every if meta["path"].startswith(f"{BLOBS}/")]
            else:
                each = list(obstore.list_with_delimiter(self._store)["objects"])
        return [Stored(meta["path"], meta["size"], meta["last_modified"].timestamp()) for meta in each]

    def delete(self, path: str) -> None:
        import obstore

        with buckets.explained(f"{self.address}/{path}"), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, path)

    @contextmanager
    def head(self, path: str, size: int) -> Iterator[Path]:
        import obstore

        with tempfile.TemporaryDirectory(prefix="crewship-bundle-") as folder:
            copy = Path(folder) / "head"
            with buckets.explained(f"{self.address}/{path}"):
                copy.write_bytes(bytes(obstore.get_range(self._store, path, start=0, end=size)))
            yield copy


def place_at(address: str) -> BlobPlace:
    return BucketPlace(address) if buckets.is_bucket(address) else FolderPlace(Path(os.path.abspath(address)))
