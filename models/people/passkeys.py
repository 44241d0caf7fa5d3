"""Passkeys of people, and the challenges that browsers have to sign with them."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, UniqueConstraint
from sqlmodel import Field

from models.base import Table, bytes_field, enum_field, json_field, stored_at, text_field, time_field
from models.bounds import LINE, NAME
from models.expiry import Expires
from models.people.auth import of_person
from models.personal_data import HIDDEN, NOTHING

LONGEST_CREDENTIAL_ID = 1023  # bytes (WebAuthn, 4)
LONGEST_PUBLIC_KEY = 2048
TRANSPORTS = 1024


class Passkey(Table, table=True):
    """A public key that an authenticator holds the private half of (WebAuthn). It verifies its user by itself."""

    __bookkeeping__ = frozenset({"sign_count", "backed_up", "last_used_at"})

    __tablename__ = "passkeys"
    __table_args__ = (
        Index("passkeys_user_id_idx", "user_id"),
        CheckConstraint(of_person("user_id"), name="people"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = text_field(NAME, holds=NOTHING)
    credential_id: bytes = bytes_field(LONGEST_CREDENTIAL_ID, unique=True, holds=NOTHING)
    public_key: bytes = bytes_field(LONGEST_PUBLIC_KEY, holds=NOTHING)
    # Of authenticators that count; a copy of one shows itself by a count that goes back.
    sign_count: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    transports: list[str] = json_field(TRANSPORTS, default_factory=list, holds=NOTHING)
    backed_up: bool = False
    created_at: datetime = stored_at()
    last_used_at: datetime | None = time_field(default=None)


class PasskeyPurpose(StrEnum):
    register = "register"
    sign_in = "sign_in"


class PasskeyChallenge(Table, table=True):
    """The challenge that one browser has to sign next; it is valid once, and a new one replaces it.

    `browser`: a digest of a value that only this browser has. `user_id`: the required owner of the passkey; in a
    sign-in because the user's password was correct. `challenge`: None before the browser has requested it.
    """

    __tablename__ = "passkey_challenges"
    __expires__: ClassVar = Expires("expires_at")
    __table_args__ = (
        UniqueConstraint("browser", "purpose"),
        Index("passkey_challenges_expires_at_idx", "expires_at"),
        Index("passkey_challenges_user_id_idx", "user_id"),
    )
    browser: str = text_field(LINE, holds=HIDDEN)
    purpose: PasskeyPurpose = enum_field(PasskeyPurpose)
    user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    challenge: str | None = text_field(LINE, default=None, holds=HIDDEN)
    expires_at: datetime = time_field()
