"""Sealing of payloads with age (https://age-encryption.org, version 1), in a stream.

A payload is sealed for one X25519 key. If the bundle has a passphrase, this key is made for the bundle, and the entry
`key` holds its secret part, sealed with the passphrase. The program `age` opens both.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final

from resolvers.instance.bundles import passphrases
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.passphrases import WRONG_KEY

ALGORITHM: Final = "age-v1"
MOST_KEY: Final = 4096  # bytes of the entry `key`


@dataclass(frozen=True, slots=True)
class Sealing:
    """The seal of a payload. `recipient` is an `age1…` key; `key` is the entry of a bundle with a passphrase."""

    recipient: str
    key: bytes | None = None

    @property
    def described(self) -> dict[str, Any]:
        """As the manifest says it."""
        known = {"recipients": [self.recipient]} if self.key is None else {"key_derivation": "scrypt"}
        return {"enabled": True, "algorithm": ALGORITHM, **known}


def is_recipient(text: str) -> bool:
    import pyrage

    try:
        pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        return False
    return True


def is_identity(text: str) -> bool:
    import pyrage

    try:
        pyrage.x25519.Identity.from_str(text)
    except pyrage.IdentityError:
        return False
    return True


async def with_passphrase(passphrase: str) -> Sealing:
    """A key of its own for one bundle."""
    import pyrage

    made = pyrage.x25519.Identity.generate()
    return Sealing(str(made.to_public()), await passphrases.sealed(str(made).encode(), passphrase))


async def identity_of(key: bytes, passphrase: str) -> str:
    """The identity in the entry `key`. Raises BundleError."""
    return (await passphrases.opened(key, passphrase)).decode()


class Piped:
    """A thread that reads one end of a pipe and writes elsewhere; its failure is raised by `finish`."""

    def __init__(self, work: Callable[[IO[bytes]], None]) -> None:
        ends = os.pipe()
        self._reader, self.file = os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb")
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name="bundle", daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[IO[bytes]], None]) -> None:
        try:
            with self._reader:
                work(self._reader)
        except BaseException as error:
            self._failed = error

    def finish(self) -> None:
        """All is written."""
        with contextlib.suppress(BrokenPipeError):
            self.file.close()
        self._thread.join()
        if self._failed is not None:
            raise self._failed


def sealed_into(target: Any, sealing: Sealing) -> Piped:
    """Seals everything that is written to its `file` into the target."""
    import pyrage

    recipient = pyrage.x25519.Recipient.from_str(sealing.recipient)
    return Piped(lambda content: pyrage.encrypt_io(content, target, [recipient]))


class Unsealed:
    """The content of a sealed payload as a file that is read once. It is complete only if `finish` raises nothing: the
    last piece of an age file says that it is the last.
    """

    def __init__(self, sealed: IO[bytes], identity: str) -> None:
        import pyrage

        key = pyrage.x25519.Identity.from_str(identity)
        ends = os.pipe()
        self.file, writer = os.fdopen(ends[0], "rb"), os.fdopen(ends[1], "wb")
        self._failed: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(lambda: pyrage.decrypt_io(sealed, writer, [key]), writer), daemon=True
        )
        self._thread.start()

    def _run(self, work: Callable[[], None], writer: IO[bytes]) -> None:
        try:
            work()
            writer.close()
        except BaseException as error:
            self._failed = error
            with contextlib.suppress(OSError):
                writer.close()

    def finish(self) -> None:
        """Raises BundleError where the key does not fit, or the content was changed or cut."""
        while self.file.read(1 << 16):
            pass
        self.close()
        if self._failed is not None:
            raise BundleError(BundleFault.decryption, WRONG_KEY) from self._failed

    def close(self) -> None:
        self.file.close()
        self._thread.join()
