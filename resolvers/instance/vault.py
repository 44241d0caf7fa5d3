"""Sealing of secrets with AES-256-GCM (NIST SP 800-38D). What is sealed opens in its own column of its own row alone.

    ff | form | key | nonce, 16 bytes | ciphertext | tag, 16 bytes

The first byte is in no text, `form` says how the rest is read, `key` names one of the instance's keys. Form 1 is sealed
with the key itself; a form that is sealed with a key of the workspace can be added beside it. The associated data are
the first three bytes, the table, the column and the id of the row.
"""

import contextlib
import hmac
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlmodel import SQLModel

from models.base import secrets_of, table_of
from models.sealed import MARK, Sealed

FORM = 1
HEAD = 3  # bytes
NONCE = 16  # bytes: random ones of this size do not meet (contract: encryption_at_rest)
Listener = Callable[[str], object]
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


class Unopenable(Exception):
    """A stored secret was changed, belongs to another place, or was sealed with a key that this server does not have.

    The text names the column.
    """


class Revealed:
    """An opened secret.

    It is not printed, written as JSON, copied or pickled: whoever needs the text says `reveal()`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<revealed>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("An opened secret is not copied and not pickled")


def unprinted(data: Mapping[str, object]) -> None:
    """What is written for people to read holds no secret, sealed or opened."""
    for name, value in data.items():
        if isinstance(value, Sealed | Revealed):
            raise TypeError(f"{name} is a secret, which no record shows")


@contextlib.contextmanager
def told_of_secrets(listener: Listener) -> Iterator[None]:
    """Inside the block `listener` is given every text that this task opens, for whoever shows texts to take it out."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


class Vault:
    """Seals with the first of its keys, opens with any. Microseconds of work: it may be used inside a transaction."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """`keys`: 32 bytes each, by a number from 1 to 255 that is theirs for good."""
        if not keys:
            raise RuntimeError("the keys of the instance are not settled")
        self._ciphers = {number: AESGCM(key) for number, key in keys.items()}
        self._signing = {number: _signing_key(key) for number, key in keys.items()}
        self._first = bytes((FORM, next(iter(keys))))

    @property
    def number(self) -> int:
        """Of the key that seals."""
        return self._first[1]

    def seal(self, text: str, *, table: type[SQLModel], column: str, row_id: str) -> Sealed:
        """For `column` of the row with this id, which may be one that is still to be inserted."""
        head, nonce = MARK + self._first, os.urandom(NONCE)
        place = _place(head, table, column, row_id)
        return Sealed(head + nonce + self._ciphers[head[2]].encrypt(nonce, text.encode(), place))

    def open(self, sealed: Sealed, *, table: type[SQLModel], column: str, row_id: str) -> Revealed:
        """Raises Unopenable."""
        head, place = sealed[:HEAD], _place(sealed[:HEAD], table, column, row_id)
        cipher = self._ciphers.get(head[2]) if len(sealed) > HEAD and head[:2] == MARK + bytes((FORM,)) else None
        try:
            if cipher is None:
                raise InvalidTag
            text = cipher.decrypt(sealed[HEAD : HEAD + NONCE], sealed[HEAD + NONCE :], place).decode()
        except (InvalidTag, ValueError):
            raise Unopenable(f"A secret in {table_of(table).name}.{column} cannot be opened") from None
        for listener in _listeners.get():
            listener(text)
        return Revealed(text)

    def sign(self, content: bytes) -> bytes:
        """Which only this instance can make: the number of the key, and HMAC-SHA256."""
        number = self._first[1]
        return bytes((number,)) + hmac.digest(self._signing[number], content, "sha256")

    def signed(self, content: bytes, signature: bytes) -> bool:
        """Whether this instance has signed the content."""
        key = self._signing.get(signature[0]) if signature else None
        return key is not None and hmac.compare_digest(hmac.digest(key, content, "sha256"), signature[1:])


def _signing_key(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=b"crewship.vault", info=b"crewship signature v1").derive(key)


def _place(head: bytes, table: type[SQLModel], column: str, row_id: str) -> bytes:
    """The associated data. No name and no id holds a NUL: PostgreSQL stores none."""
    if column not in secrets_of(table):
        raise TypeError(f"{table.__name__}.{column} is no column of secrets")
    return head + "\0".join((table_of(table).name, column, row_id)).encode()
