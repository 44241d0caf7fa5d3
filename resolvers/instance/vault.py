"""Sealing of secrets with AES-256-GCM (NIST SP 800-38D). What is sealed opens in its own column of its own row alone.

    ff | form | key | nonce, 16 bytes | ciphertext | tag, 16 bytes

The first byte is in no text, `form` says how the rest is read. In form 2 `key` is the 12 bytes of the id of a data key
(resolvers/instance/data_keys.py), of the workspace or of the instance. In form 1, which is opened and not made any
more, it is one byte, the number of one of the instance's keys. The associated data are all that stands before the
nonce, the table, the column and the id of the row. See ADR 77.
"""

import contextlib
import hmac
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import NoReturn

from sqlmodel import SQLModel

from models.base import secrets_of, table_of
from models.sealed import MARK, Sealed
from resolvers.instance.ciphers import Cipher, Forged, derived
from resolvers.instance.data_keys import DataKey, DataKeys, KeyStore
from resolvers.instance.wrapping import OwnKeys, Unwrappable, Wrapping

OWN, FORM = b"\x01", b"\x02"
OWN_HEAD, HEAD = 3, 14  # bytes before the nonce
NONCE = 16  # bytes: random ones of this size do not meet (contract: encryption_at_rest)
Listener = Callable[[str], object]
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())


class Unopenable(Exception):
    """A stored secret was changed, belongs to another place, or was sealed with a key that this server does not have.

    The text names the column.
    """


class Revealed:
    """An opened secret.

    It cannot be printed, written as JSON, copied or pickled: `reveal()` returns the text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "<revealed>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("An opened secret cannot be copied or pickled")


def unprinted(data: Mapping[str, object]) -> None:
    """Refuses secrets, sealed or opened, in data for people to read."""
    for name, value in data.items():
        if isinstance(value, Sealed | Revealed):
            raise TypeError(f"{name} is a secret, which no record shows")


@contextlib.contextmanager
def told_of_secrets(listener: Listener) -> Iterator[None]:
    """Inside the block, `listener` receives every text that this task opens, so that output can be redacted."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def reveal_to_listeners(text: str) -> Revealed:
    """Reports a secret from another source to the listeners, like an opened one."""
    for listener in _listeners.get():
        listener(text)
    return Revealed(text)


class Signatures:
    """Signatures that only this instance can make. The first of its keys signs, any of them verifies."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """`keys`: 32 bytes each, by a number from 1 to 255 that is theirs for good."""
        if not keys:
            raise RuntimeError("the keys of the instance are not settled")
        self.number = next(iter(keys))
        self._signing = {number: _signing_key(key) for number, key in keys.items()}

    def sign(self, content: bytes) -> bytes:
        """Which only this instance can make: the number of the key, and HMAC-SHA256."""
        return bytes((self.number,)) + hmac.digest(self._signing[self.number], content, "sha256")

    def signed(self, content: bytes, signature: bytes) -> bool:
        """Returns true if this instance has signed the content."""
        key = self._signing.get(signature[0]) if signature else None
        return key is not None and hmac.compare_digest(hmac.digest(key, content, "sha256"), signature[1:])


class Vault(Signatures):
    """Seals with the data key of a workspace, or of the instance. Microseconds of work, also inside a transaction, but
    for the first use of a data key in a while, which is looked up, and may be unwrapped elsewhere.
    """

    def __init__(
        self, keys: Mapping[int, bytes], store: KeyStore, *, wrappings: Sequence[Wrapping] = (), own_first: bool = True
    ) -> None:
        """The first of the keys wraps data keys, or, where that is not `own_first`, the first of the `wrappings`."""
        super().__init__(keys)
        self._ciphers = {number: Cipher(key) for number, key in keys.items()}
        own = OwnKeys(keys)
        self.data_keys = DataKeys([own, *wrappings] if own_first else [*wrappings, own], store)

    async def seal(
        self, text: str, *, table: type[SQLModel], column: str, row_id: str, workspace_id: str | None
    ) -> Sealed:
        """Seals for `column` of the row with this id, which may not be inserted yet. `workspace_id`: None for secrets
        of the instance. Raises Refusal UNAVAILABLE if a data key cannot be unwrapped now.
        """
        key = await self._current(workspace_id)
        head, nonce = MARK + FORM + bytes.fromhex(key.id[1:]), os.urandom(NONCE)
        place = _place(head, table, column, row_id)
        return Sealed(head + nonce + key.cipher.encrypt(nonce, text.encode(), place))

    async def open(self, sealed: Sealed, *, table: type[SQLModel], column: str, row_id: str) -> Revealed:
        """Raises Unopenable, and Refusal as `seal` does."""
        try:
            head, cipher = await self._cipher_of(sealed)
            nonce = sealed[len(head) : len(head) + NONCE]
            place = _place(head, table, column, row_id)
            text = cipher.decrypt(nonce, sealed[len(head) + NONCE :], place).decode()
        except (Forged, ValueError, Unwrappable):
            raise Unopenable(f"A secret in {table_of(table).name}.{column} cannot be opened") from None
        return reveal_to_listeners(text)

    def moved(
        self,
        sealed: bytes,
        keys: Mapping[str, DataKey],
        to: DataKey,
        *,
        table: type[SQLModel],
        column: str,
        row_id: str,
        new_id: str,
    ) -> Sealed:
        """A value from a backup, sealed again for another row and with another data key. `keys`: of the backup.
        Raises Unopenable.
        """
        form = sealed[1:2] if sealed[:1] == MARK else b""
        cipher, size = None, OWN_HEAD
        if form == FORM and len(sealed) > HEAD:
            known, size = keys.get("c" + sealed[2:HEAD].hex()), HEAD
            cipher = None if known is None else known.cipher
        elif form == OWN and len(sealed) > OWN_HEAD:
            cipher = self._ciphers.get(sealed[2])
        try:
            if cipher is None:
                raise Forged
            place = _place(sealed[:size], table, column, row_id)
            text = cipher.decrypt(sealed[size : size + NONCE], sealed[size + NONCE :], place)
        except (Forged, ValueError):
            raise Unopenable(f"A secret in {table_of(table).name}.{column} cannot be opened") from None
        return self.sealed_with(to, text, table=table, column=column, row_id=new_id)

    def sealed_with(self, key: DataKey, text: bytes, *, table: type[SQLModel], column: str, row_id: str) -> Sealed:
        """Seals with a data key that may not be stored yet."""
        head, nonce = MARK + FORM + bytes.fromhex(key.id[1:]), os.urandom(NONCE)
        return Sealed(head + nonce + key.cipher.encrypt(nonce, text, _place(head, table, column, row_id)))

    async def _current(self, workspace_id: str | None) -> DataKey:
        try:
            return await self.data_keys.current(workspace_id)
        except Unwrappable as error:
            raise Unopenable(str(error)) from None

    async def _cipher_of(self, sealed: bytes) -> tuple[bytes, Cipher]:
        """Splits a sealed value: the associated prefix before the nonce, and the cipher that opens the rest."""
        form = sealed[1:2] if sealed[:1] == MARK else b""
        if form == FORM and len(sealed) > HEAD:
            key = await self.data_keys.get("c" + sealed[2:HEAD].hex())
            return sealed[:HEAD], key.cipher
        cipher = self._ciphers.get(sealed[2]) if form == OWN and len(sealed) > OWN_HEAD else None
        if cipher is None:
            raise Forged
        return sealed[:OWN_HEAD], cipher


def _signing_key(key: bytes) -> bytes:
    return derived(key, salt=b"crewship.vault", info=b"crewship signature v1")


def _place(head: bytes, table: type[SQLModel], column: str, row_id: str) -> bytes:
    """The associated data. No name and no id holds a NUL: PostgreSQL stores none."""
    if column not in secrets_of(table):
        raise TypeError(f"{table.__name__}.{column} is no column of secrets")
    return head + "\0".join((table_of(table).name, column, row_id)).encode()
