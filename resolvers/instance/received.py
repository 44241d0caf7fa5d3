"""Content that was received and has no name yet."""

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator

from resolvers.instance.confined import NEW


class LocalReceived:
    """A file of a random name.

    A task that was cancelled leaves a thread behind that may still write: each step has the descriptors to itself.
    """

    def __init__(self, directory: int) -> None:
        self.size, self._name, self._directory = 0, secrets.token_hex(16), directory
        self._lock = threading.Lock()
        self._file: int | None = os.open(self._name, NEW, 0o600, dir_fd=directory)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        with self._lock:
            if self._file is None:
                raise ValueError("the uploaded data was removed")
            yield self._file

    def write(self, content: bytes) -> None:
        with self._opened() as file:
            view = memoryview(content)
            while view:
                view = view[os.write(file, view) :]
            self.size += len(content)

    def finish(self) -> None:
        with self._opened() as file:
            os.fsync(file)

    def move(self, parent: int, name: str, owner: int | None, mode: int) -> None:
        with self._opened() as file:
            if owner is not None:
                os.fchown(file, owner, owner)
            os.fchmod(file, mode)
            os.rename(self._name, name, src_dir_fd=self._directory, dst_dir_fd=parent)

    def close(self) -> None:
        """Removes the file unless it was moved."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                os.close(file)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._name, dir_fd=self._directory)
                os.close(self._directory)
