"""Resets of forgotten passwords."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Index
from sqlmodel import Field

from models.base import Table, stored_at, text_field, time_field
from models.bounds import EMAIL, LINE
from models.expiry import Expires
from models.personal_data import HIDDEN, NOTHING

OVER = """
    SELECT ctid FROM password_resets
    WHERE created_at < now() - interval '1 day' AND (set_up_in IS NULL OR expires_at < now()) LIMIT $1
"""


class PasswordReset(Table, table=True):
    """A requested reset link. `user_id` and `token_hash` are set once the link is mailed; only the hash is stored.

    A row that was never mailed does not reveal whether there is an account.
    """

    __tablename__ = "password_resets"
    __expires__: ClassVar = Expires(found=OVER)
    __table_args__ = (
        Index("password_resets_user_id_idx", "user_id"),
        Index("password_resets_created_at_idx", "created_at"),
    )
    email: str = text_field(EMAIL, holds=NOTHING)
    user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    token_hash: str | None = text_field(LINE, default=None, unique=True, holds=HIDDEN)
    created_at: datetime = stored_at()
    expires_at: datetime = time_field()
    used_at: datetime | None = time_field(default=None)
    # the workspace whose administrator was shown the link: it was not mailed, and proves no email
    set_up_in: str | None = text_field(LINE, default=None, holds=NOTHING)
