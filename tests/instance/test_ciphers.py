"""Keys are derived as the standard says, and what is sealed opens with the same key for the same place alone."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from resolvers.instance.ciphers import Cipher, Forged, derived

NONCE, PLACE = bytes(16), b"place"


def test_a_key_of_the_standard() -> None:
    """RFC 5869, appendix A.1: its first block."""
    made = derived(b"\x0b" * 22, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)))
    assert made.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


@pytest.mark.parametrize("size", [0, 1, 32, 64, 65, 1000])
def test_keys_of_the_library(size: int) -> None:
    secret, salt, info = (os.urandom(size) for _ in range(3))
    assert derived(secret, salt=salt, info=info) == HKDF(SHA256(), 32, salt, info).derive(secret)


def test_a_ciphertext_opens_where_it_belongs() -> None:
    key = os.urandom(32)
    sealed = Cipher(key).encrypt(NONCE, b"text", PLACE)
    assert AESGCM(key).decrypt(NONCE, sealed, PLACE) == Cipher(key).decrypt(NONCE, sealed, PLACE) == b"text"
    for other, nonce, text, place in (
        (os.urandom(32), NONCE, sealed, PLACE),
        (key, bytes(15) + b"x", sealed, PLACE),
        (key, NONCE, bytes((sealed[0] ^ 1,)) + sealed[1:], PLACE),
        (key, NONCE, sealed[:10], PLACE),
        (key, NONCE, sealed, b"another"),
    ):
        with pytest.raises(Forged):
            Cipher(other).decrypt(nonce, text, place)


def test_a_key_of_no_known_size() -> None:
    with pytest.raises(ValueError, match="128"):
        Cipher(b"short").encrypt(NONCE, b"text", PLACE)
