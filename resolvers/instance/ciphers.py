"""AES-256-GCM, whose library is loaded with the first secret that is sealed or opened: 8 MB that an idle process does
without; and HKDF-SHA256.
"""

import hmac
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Forged(Exception):
    """A ciphertext that this key did not make for this place."""


class Cipher:
    """AES-GCM with one key. `place`: the associated data that binds the ciphertext."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt(self, nonce: bytes, text: bytes, place: bytes) -> bytes:
        return self._aes.encrypt(nonce, text, place)

    def decrypt(self, nonce: bytes, text: bytes, place: bytes) -> bytes:
        """Raises Forged, or ValueError where a nonce is too short."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aes.decrypt(nonce, text, place)
        except InvalidTag:
            raise Forged from None

    @cached_property
    def _aes(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key)


def derived(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """A key of 32 bytes (RFC 5869, of which that is one block)."""
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")
