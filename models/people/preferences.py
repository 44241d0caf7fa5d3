"""Preferences of a user: values that clients store, in every workspace."""

from typing import Any, Final

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from models.base import Table, Timestamps, json_field, text_field
from models.personal_data import NOTHING

LONGEST_KEY: Final = 64
LARGEST: Final = 16 << 10  # bytes of JSON
STORED: Final = 16 * LARGEST
"""PostgreSQL takes more for the same: 16 bytes for a number of one digit."""


class Preference(Table, Timestamps, table=True):
    """A value under a key. A null is kept like any other value."""

    __tablename__ = "preferences"
    __table_args__ = (UniqueConstraint("user_id", "key"),)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    key: str = text_field(LONGEST_KEY, holds=NOTHING)
    value: Any | None = json_field(STORED, default=None, holds=NOTHING)
