"""Browsers that receive pushes about what needs attention (Web Push), their notices, and the key that signs."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    Table,
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    json_field,
    secret_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import ID, LINE, NAME
from models.expiry import Expires
from models.personal_data import CONFIGURATION, HIDDEN, NOTHING, holding
from models.sealed import Sealed

ENDPOINT: Final = 1024
"""Characters of the address of a push service; browsers send at most about 500."""
POINT: Final = 87
"""An uncompressed point of P-256, in base64url."""


class PushKey(Table, table=True):
    """The key that signs all pushes (VAPID): made when the first browser asks, and the same in all processes.

    Browsers subscribe to this key: another one would end every subscription.
    """

    __tablename__ = "push_keys"
    public: str = text_field(POINT, holds=NOTHING)
    private: Sealed = secret_field(LINE)
    created_at: datetime = stored_at()


class PushSubscription(TenantTable, Timestamps, table=True):
    """A browser of a member. It ends with the membership, and with the session or the token it was registered with.

    `position`: the place in the changes of what needs attention up to which it has notices. `p256dh` and `auth` encrypt
    for this browser (RFC 8291).
    """

    __private__: ClassVar = True
    __bookkeeping__: ClassVar = frozenset(
        {"position", "failures", "last_error", "last_success_at", "next_attempt_at", "session_id", "token_id"}
    )
    __tablename__ = "push_subscriptions"
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("workspace_id", "user_id", "endpoint"),
        ForeignKeyConstraint(
            ["user_id", "workspace_id"], ["memberships.user_id", "memberships.workspace_id"], ondelete="CASCADE"
        ),
        Index("push_subscriptions_user_id_idx", "user_id", "workspace_id", "created_at", "id"),
        Index("push_subscriptions_session_id_idx", "session_id", postgresql_where=text("session_id IS NOT NULL")),
        Index("push_subscriptions_token_id_idx", "token_id", postgresql_where=text("token_id IS NOT NULL")),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    session_id: str | None = Field(
        default=None, foreign_key="sessions.id", ondelete="CASCADE", sa_column_kwargs=holding(HIDDEN)
    )
    token_id: str | None = Field(default=None, foreign_key="cli_tokens.id", ondelete="CASCADE")
    label: str = text_field(NAME, holds=NOTHING)
    endpoint: str = text_field(ENDPOINT, holds=CONFIGURATION)
    p256dh: str = text_field(POINT, holds=HIDDEN)
    auth: Sealed = secret_field(LINE)
    kinds: list[str] = json_field(1024, default_factory=list, holds=NOTHING)
    position: str = text_field(LINE, holds=NOTHING)
    failures: int = 0
    last_error: str | None = text_field(LINE, default=None, holds=NOTHING)
    last_success_at: datetime | None = time_field(default=None)
    next_attempt_at: datetime | None = time_field(default=None)


class PushState(StrEnum):
    """A notice waits, was taken by the push service, or was given up."""

    pending = "pending"
    sent = "sent"
    dropped = "dropped"


class PushNotice(TenantTable, table=True):
    """A notice to one browser: of an entry of the list of what needs attention, as long as the entry is listed."""

    __tablename__ = "push_notices"
    __expires__: ClassVar = Expires("created_at", timedelta(days=30))
    __table_args__ = (
        belongs_to("subscription_id", "push_subscriptions", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "subscription_id", "entry"),
        Index(
            "push_notices_pending_idx",
            "workspace_id",
            "subscription_id",
            "created_at",
            "id",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("push_notices_created_at_idx", "created_at"),
    )
    subscription_id: str
    entry: str = text_field(ID * 5, holds=NOTHING)
    state: PushState = enum_field(PushState.pending)
    attempts: int = 0
    created_at: datetime = stored_at("clock_timestamp()")
