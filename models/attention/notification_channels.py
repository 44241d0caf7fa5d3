"""The channels that receive notifications of a workspace or of one member, outside this server."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlmodel import Field

from models.attention.inbox import InboxPriority
from models.base import (
    CHOICES,
    FREE,
    SoftDelete,
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    json_field,
    secret_field,
    stored_at,
    text_field,
)
from models.bounds import EMAIL, ID, URL
from models.personal_data import AUTHOR, MENTIONS, NOTHING, holding
from models.sealed import Sealed


class ChannelType(StrEnum):
    """The type of a notification channel; `shoutrrr` is a service of others, such as a chat."""

    email = "email"
    webhook = "webhook"
    shoutrrr = "shoutrrr"


class ChannelEvent(StrEnum):
    """Events that a notification channel receives."""

    completed = "run.completed"
    failed = "run.failed"
    asked = "decision.requested"


class ChannelScope(StrEnum):
    """A channel belongs to the workspace, or to one member."""

    workspace = "workspace"
    user = "user"


class ChannelProvider(StrEnum):
    """A service that messages are sent to."""

    discord = "discord"
    slack = "slack"
    telegram = "telegram"
    ntfy = "ntfy"
    gotify = "gotify"
    pushover = "pushover"
    mattermost = "mattermost"
    matrix = "matrix"
    teams = "teams"
    googlechat = "googlechat"
    opsgenie = "opsgenie"


class NotificationCategory(StrEnum):
    """The subject of a notification."""

    routines_completed = "routines.completed"
    routines_failed = "routines.failed"
    routines_skipped = "routines.skipped"
    routines_missed = "routines.missed"
    issues_created = "issues.created"
    issues_state = "issues.state"
    issues_assigned = "issues.assigned"
    issues_comment = "issues.comment"
    agents_approval = "agents.approval"
    agents_escalation = "agents.escalation"
    agents_error = "agents.error"
    agents_budget = "agents.budget"
    system_health = "system.health"
    system_migration = "system.migration"
    security = "security"
    pages_stale = "pages.stale"
    chat_replies = "chat.replies"
    memory = "memory"


def _stored(default: StrEnum) -> Any:
    """A column of a closed set that the database fills in rows of a release that does not know it."""
    info = {CHOICES: type(default), FREE: False}
    return Field(
        default=default,
        sa_type=cast(Any, Text),
        sa_column_kwargs={"info": info, "server_default": text(f"'{default.value}'")},
    )


def channel_id() -> str:
    return f"nch_{secrets.token_hex(8)}"


class NotificationChannel(TenantTable, SoftDelete, Timestamps, table=True):
    """A mail address, a URL or a service, and the messages that it receives.

    A channel of a member (`owner_user_id`) ends with the membership. `categories` is null for all of them. `secret`
    signs for a webhook; of a service it is the address, which contains the credentials.
    """

    __tablename__ = "notification_channels"
    __table_args__ = (
        ForeignKeyConstraint(
            ["owner_user_id", "workspace_id"], ["memberships.user_id", "memberships.workspace_id"], ondelete="CASCADE"
        ),
        Index(
            "notification_channels_list_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("notification_channels_owner_idx", "owner_user_id", "workspace_id"),
    )
    id: str = text_field(ID, default_factory=channel_id, primary_key=True)
    type: ChannelType = enum_field(ChannelType)
    url: str | None = text_field(URL, default=None, holds=MENTIONS)
    address: str | None = text_field(EMAIL, default=None, holds=MENTIONS)
    provider: ChannelProvider | None = enum_field(ChannelProvider, default=None)
    secret: Sealed | None = secret_field(URL, default=None)
    events: list[str] = json_field(1024, default_factory=list, holds=NOTHING)
    scope: ChannelScope = _stored(ChannelScope.workspace)
    owner_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    categories: list[str] | None = json_field(1024, default=None, holds=NOTHING)
    min_priority: InboxPriority = _stored(InboxPriority.low)
    enabled: bool = True
    created_by: str | None = Field(
        default=None, foreign_key="users.id", ondelete="SET NULL", sa_column_kwargs=holding(AUTHOR)
    )


class NotificationProviderSwitch(TenantTable, Timestamps, table=True):
    """A provider that a workspace has switched off, or on again."""

    __tablename__ = "notification_provider_switches"
    __table_args__ = (UniqueConstraint("workspace_id", "provider"),)
    provider: ChannelProvider = enum_field(ChannelProvider)
    enabled: bool


def pairing_id() -> str:
    return f"nca_{secrets.token_hex(8)}"


class NotificationChannelAgent(TenantTable, table=True):
    """An agent that may send to a channel. The row outlives the channel, which is soft-deleted."""

    __tablename__ = "notification_channel_agents"
    __table_args__ = (
        UniqueConstraint("workspace_id", "channel_id", "agent_id", name="notification_channel_agents_pair_key"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("notification_channel_agents_agent_id_idx", "workspace_id", "agent_id"),
        Index("notification_channel_agents_granted_by_idx", "granted_by"),
    )
    id: str = text_field(ID, default_factory=pairing_id, primary_key=True)
    channel_id: str = text_field(ID, holds=NOTHING)
    agent_id: str
    granted_by: str | None = Field(
        default=None, foreign_key="users.id", ondelete="SET NULL", sa_column_kwargs=holding(AUTHOR)
    )
    created_at: datetime = stored_at("clock_timestamp()")
