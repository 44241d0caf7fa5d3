"""The channels that receive the ends of a workspace's runs, outside this server."""

import secrets
from enum import StrEnum

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import SoftDelete, TenantTable, Timestamps, enum_field, json_field, secret_field, text_field
from models.bounds import EMAIL, ID, LINE, URL
from models.personal_data import AUTHOR, MENTIONS, NOTHING, holding
from models.sealed import Sealed


class ChannelType(StrEnum):
    """The type of a notification channel."""

    email = "email"
    webhook = "webhook"


class ChannelEvent(StrEnum):
    """Events that a notification channel receives."""

    completed = "run.completed"
    failed = "run.failed"
    asked = "decision.requested"


def channel_id() -> str:
    return f"nch_{secrets.token_hex(8)}"


class NotificationChannel(TenantTable, SoftDelete, Timestamps, table=True):
    """A mail address or a URL, and the messages that it receives: ends of runs, and open decisions."""

    __tablename__ = "notification_channels"
    __table_args__ = (
        Index(
            "notification_channels_list_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )
    id: str = text_field(ID, default_factory=channel_id, primary_key=True)
    type: ChannelType = enum_field(ChannelType)
    url: str | None = text_field(URL, default=None, holds=MENTIONS)
    address: str | None = text_field(EMAIL, default=None, holds=MENTIONS)
    secret: Sealed | None = secret_field(LINE, default=None)
    events: list[str] = json_field(1024, default_factory=list, holds=NOTHING)
    enabled: bool = True
    created_by: str | None = Field(
        default=None, foreign_key="users.id", ondelete="SET NULL", sa_column_kwargs=holding(AUTHOR)
    )
