"""Changes of the email of an account."""

from datetime import datetime, timedelta
from typing import ClassVar

from sqlalchemy import Index
from sqlmodel import Field

from models.base import Table, stored_at, text_field, time_field
from models.bounds import EMAIL, LINE
from models.expiry import Expires
from models.personal_data import HIDDEN, NOTHING


class EmailChange(Table, table=True):
    """A user wants another email. `token_hash` is set once the link is mailed there; only the hash is kept."""

    __tablename__ = "email_changes"
    __expires__: ClassVar = Expires("expires_at", timedelta(days=1))
    __table_args__ = (
        Index("email_changes_user_id_created_at_idx", "user_id", "created_at"),
        Index("email_changes_expires_at_idx", "expires_at"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    email: str = text_field(EMAIL, holds=NOTHING)
    old_email: str = text_field(EMAIL, holds=NOTHING)
    token_hash: str | None = text_field(LINE, default=None, unique=True, holds=HIDDEN)
    created_at: datetime = stored_at()
    expires_at: datetime = time_field()
    used_at: datetime | None = time_field(default=None)
