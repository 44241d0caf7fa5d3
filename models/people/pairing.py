"""Pairings of the command line with an account: a code shown in the browser becomes a CLI token."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import Index
from sqlmodel import Field

from models.base import Table, stored_at, text_field, time_field
from models.bounds import LINE
from models.expiry import Expires
from models.personal_data import HIDDEN, NOTHING

LONGEST_HINT = 32


class PairStatus(StrEnum):
    """The state of a pairing: waiting for the command line, used, or expired."""

    pending = "pending"
    consumed = "consumed"
    expired = "expired"


class Pairing(Table, table=True):
    """A code that waits for a command line. Only its keyed hash is kept; it is redeemed once."""

    __tablename__ = "pairings"
    __expires__: ClassVar = Expires("expires_at", timedelta(days=1))
    __table_args__ = (Index("pairings_user_id_idx", "user_id"), Index("pairings_expires_at_idx", "expires_at"))
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    code_hash: str = text_field(LINE, unique=True, holds=HIDDEN)
    adapter_hint: str | None = text_field(LONGEST_HINT, default=None, holds=NOTHING)
    created_at: datetime = stored_at()
    expires_at: datetime = time_field()
    consumed_at: datetime | None = time_field(default=None)
