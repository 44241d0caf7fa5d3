"""The bytes of a push: encrypted for one browser (RFC 8291, RFC 8188), and signed by the instance (RFC 8292).

Libraries for it send by HTTP clients of their own, which the guard against private networks does not see, or need an
email address of the operator. The primitives come from `cryptography` and PyJWT; the test has the RFC's example.
"""

import os
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

SECRET: Final = 16  # bytes of the browser's secret
RECORD: Final = 4096
MOST: Final = 3000
"""Bytes of a message: with its head and its tag a push service takes 4096."""
_LIFE = timedelta(hours=12)  # of a signature; services refuse more than a day


def from_text(text: str) -> bytes:
    """The bytes of a text in base64url, with or without padding. Raises ValueError."""
    if not text.isascii() or not set(text.rstrip("=")) <= _LETTERS:
        raise ValueError("no base64url")
    return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def to_text(given: bytes) -> str:
    return urlsafe_b64encode(given).rstrip(b"=").decode()


def new_key() -> Any:
    ec = _curves()
    return ec.generate_private_key(ec.SECP256R1())


def private_text(key: Any) -> str:
    return to_text(key.private_numbers().private_value.to_bytes(32, "big"))


def private_of(text: str) -> Any:
    ec = _curves()
    return ec.derive_private_key(int.from_bytes(from_text(text), "big"), ec.SECP256R1())


def point_of(key: Any) -> bytes:
    """The public half, uncompressed."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)  # type: ignore[no-any-return]


def public_of(point: bytes) -> Any:
    """Raises ValueError for a point that is not on the curve."""
    ec = _curves()
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def encrypted(
    message: bytes, receiver: bytes, secret: bytes, *, sender: Any = None, salt: bytes | None = None
) -> bytes:
    """The body of a push. `receiver` and `secret` are the browser's; `sender` and `salt` are drawn, but in tests."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    ec = _curves()
    sender, salt = sender or new_key(), salt or os.urandom(16)
    point = point_of(sender)
    shared = sender.exchange(ec.ECDH(), public_of(receiver))
    key = _derived(shared, secret, b"WebPush: info\0" + receiver + point, 32)
    content = _derived(key, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derived(key, salt, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(content).encrypt(nonce, message + b"\x02", None)
    return salt + struct.pack("!LB", RECORD, len(point)) + point + sealed


def authorization(endpoint: str, key: Any, public: str, contact: str, now: datetime) -> str:
    """The header that says who sends. `contact`: an address at which the operator can be reached, by mail or https."""
    import jwt

    place = urlsplit(endpoint)
    claims = {"aud": f"{place.scheme}://{place.netloc}", "exp": int((now + _LIFE).timestamp()), "sub": contact}
    return f"vapid t={jwt.encode(claims, key, algorithm='ES256')}, k={public}"


def _derived(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), length, salt, info).derive(secret)


def _curves() -> Any:
    """Loaded when the first push is sent, or the first browser subscribes."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec
