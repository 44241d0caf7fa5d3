"""Values as they were sealed before there were data keys: rows of tests have them, so that every surface opens both."""

import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlmodel import SQLModel

from models.sealed import MARK, Sealed
from resolvers.instance.running import instance
from resolvers.instance.vault import NONCE, OWN, _place


def sealed_before(
    text: str, *, table: type[SQLModel], column: str, row_id: str, key: bytes | None = None, number: int = 1
) -> Sealed:
    """With a key of the instance itself; that of the running one unless it is given."""
    head, nonce = MARK + OWN + bytes((number,)), os.urandom(NONCE)
    cipher = instance.vault._ciphers[number] if key is None else AESGCM(key)
    return Sealed(head + nonce + cipher.encrypt(nonce, text.encode(), _place(head, table, column, row_id)))
