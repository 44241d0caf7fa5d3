"""Choices of members for notifications by channel, the wording of messages, and the log of their deliveries."""

import secrets
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from models.attention.inbox import InboxPriority
from models.base import TenantTable, Timestamps, enum_field, json_field, stored_at, text_field, time_field
from models.bounds import DESCRIPTION, ID, LINE, NAME, NOTES
from models.expiry import Expires
from models.personal_data import MENTIONS, NOTHING

TITLE: Final = LINE * 3
EVERY: Final = "*"
"""The category of a cell that stands for the channel: it mutes it."""


class PreferenceState(StrEnum):
    """The choice of a member: `immediate` sends notifications of a category to a channel, `off` does not."""

    off = "off"
    immediate = "immediate"


class NotificationStatus(StrEnum):
    """The status of a delivery; dropped ones are not sent, by the choice of a member or because there are too many."""

    pending = "pending"
    sent = "sent"
    failed = "failed"
    dropped_pref = "dropped_pref"
    dropped_rate = "dropped_rate"


def _of_member() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["user_id", "workspace_id"], ["memberships.user_id", "memberships.workspace_id"], ondelete="CASCADE"
    )


class NotificationPreference(TenantTable, table=True):
    """A member's choice for a category and a channel. The row outlives the channel."""

    __private__: ClassVar = True
    __tablename__ = "notification_preferences"
    __table_args__ = (
        UniqueConstraint(
            "workspace_id", "user_id", "channel_id", "category", name="notification_preferences_choice_key"
        ),
        _of_member(),
        Index("notification_preferences_user_id_idx", "user_id", "workspace_id"),
        Index("notification_preferences_category_idx", "workspace_id", "category"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    channel_id: str = text_field(ID, holds=NOTHING)
    category: str = text_field(LINE, holds=NOTHING)
    state: PreferenceState = enum_field(PreferenceState)


class NotificationSchedule(TenantTable, Timestamps, table=True):
    """When a member's own channels may receive notifications. Quiet hours are minutes of the day in `time_zone`, and
    may pass midnight; `through` and higher priorities are sent at any time. With `digest_minutes` notifications are
    collected for so long, and sent as one message.
    """

    __private__: ClassVar = True
    __tablename__ = "notification_schedules"
    __table_args__ = (
        UniqueConstraint("workspace_id", "user_id"),
        _of_member(),
        Index("notification_schedules_user_id_idx", "user_id", "workspace_id"),
    )
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    time_zone: str = text_field(NAME, default="UTC", holds=NOTHING)
    quiet_from: int | None = None
    quiet_until: int | None = None
    through: InboxPriority = enum_field(InboxPriority.urgent)
    digest_minutes: int | None = None


class NotificationTemplate(TenantTable, Timestamps, table=True):
    """The wording of messages of a category, in one channel or, with an empty `channel_id`, in all."""

    __tablename__ = "notification_templates"
    __table_args__ = (UniqueConstraint("workspace_id", "category", "channel_id"),)
    category: str = text_field(LINE, holds=NOTHING)
    channel_id: str = text_field(ID, default="", holds=NOTHING)
    title: str = text_field(TITLE, default="", holds=MENTIONS)
    body: str = text_field(DESCRIPTION, default="", holds=MENTIONS)


def notification_delivery_id() -> str:
    return f"del_{secrets.token_hex(8)}"


class NotificationDelivery(TenantTable, table=True):
    """A message for one channel: `dedup_key` is sent to it once. `message` is the content, for another attempt;
    `held_until` the end of quiet hours, or the time of a digest.
    """

    __tablename__ = "notification_deliveries"
    __expires__: ClassVar = Expires("created_at", timedelta(days=30))
    __bookkeeping__: ClassVar = frozenset({"held_until"})
    __table_args__ = (
        UniqueConstraint("workspace_id", "channel_id", "dedup_key"),
        Index("notification_deliveries_list_idx", "workspace_id", "created_at", "id"),
        Index("notification_deliveries_status_idx", "workspace_id", "status", "created_at", "id"),
        Index("notification_deliveries_channel_idx", "workspace_id", "channel_id", "created_at", "id"),
        Index(
            "notification_deliveries_held_idx",
            "workspace_id",
            "channel_id",
            "held_until",
            postgresql_where=text("status = 'pending' AND held_until IS NOT NULL"),
        ),
        Index("notification_deliveries_user_id_idx", "user_id"),
        Index("notification_deliveries_created_at_idx", "created_at"),
    )
    id: str = text_field(ID, default_factory=notification_delivery_id, primary_key=True)
    channel_id: str = text_field(ID, holds=NOTHING)
    user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    category: str = text_field(LINE, holds=NOTHING)
    dedup_key: str = text_field(LINE * 6, holds=NOTHING)
    source_kind: str = text_field(LINE, holds=NOTHING)
    source_id: str = text_field(LINE * 4, holds=NOTHING)
    title: str = text_field(TITLE, holds=MENTIONS)
    message: dict[str, Any] = json_field(NOTES, default_factory=dict, holds=MENTIONS)
    status: NotificationStatus = enum_field(NotificationStatus.pending)
    error: str | None = text_field(LINE, default=None, holds=NOTHING)
    attempts: int = 0
    held_until: datetime | None = time_field(default=None)
    created_at: datetime = stored_at("clock_timestamp()")
    updated_at: datetime = stored_at("clock_timestamp()")
    sent_at: datetime | None = time_field(default=None)
