"""Keys that wrap data keys: the instance's own, from its environment, or a key in a key management service.

A data key is wrapped for its own id and workspace, so none can replace another.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from resolvers.instance.ciphers import Cipher, Forged

NONCE = 16  # bytes


class Wrapped(NamedTuple):
    """A data key as it is stored, and the name of the key that wraps it."""

    by: str
    key: bytes


class Unwrappable(Exception):
    """A stored data key was changed, or the key that wraps it is missing."""


class Wrapping(Protocol):
    """A source of wrapping keys."""

    def knows(self, by: str) -> bool:
        """Returns true if values wrapped by the key of this name can be unwrapped here."""

    async def wrap(self, key: bytes, place: bytes) -> Wrapped:
        """Raises Refusal, UNAVAILABLE, where the keys are kept elsewhere and cannot be reached."""

    async def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        """Raises Unwrappable, and Refusal as `wrap` does."""


def name_of(number: int) -> str:
    """The name of an instance key in the operator's settings."""
    return "ENCRYPTION_KEY" if number == 1 else f"ENCRYPTION_KEY_V{number}"


class OwnKeys:
    """The instance's keys, of which the first wraps."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._ciphers = {name_of(number): Cipher(key) for number, key in keys.items()}
        self._first = name_of(next(iter(keys)))

    def knows(self, by: str) -> bool:
        return by in self._ciphers

    async def wrap(self, key: bytes, place: bytes) -> Wrapped:
        nonce = os.urandom(NONCE)
        return Wrapped(self._first, nonce + self._ciphers[self._first].encrypt(nonce, key, place))

    async def unwrap_by_any(self, wrapped: Wrapped, place: bytes) -> bytes:
        """A key of another instance, which may have had another number there."""
        for name in self._ciphers:
            try:
                return await self.unwrap(Wrapped(name, wrapped.key), place)
            except Unwrappable:
                continue
        raise Unwrappable(f"A data key cannot be unwrapped with {wrapped.by}")

    async def unwrap(self, wrapped: Wrapped, place: bytes) -> bytes:
        try:
            return self._ciphers[wrapped.by].decrypt(wrapped.key[:NONCE], wrapped.key[NONCE:], place)
        except (KeyError, Forged, ValueError):
            raise Unwrappable(f"A data key cannot be unwrapped with {wrapped.by}") from None
