"""Chats with agents."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Index, Text
from sqlmodel import Field

from models.base import TenantTable, Timestamps, belongs_to, now, one_of, tenant_key, time_field


class ChatMode(StrEnum):
    """CHAT is a conversation with users; MISSION groups the assignments of the mission with the same id."""

    CHAT = "CHAT"
    MISSION = "MISSION"


class ChatStatus(StrEnum):
    ACTIVE = "ACTIVE"


class ChatOrigin(StrEnum):
    UI = "UI"
    CLI = "CLI"
    WEBHOOK = "WEBHOOK"
    CRON = "CRON"
    AGENT = "AGENT"


class ChatVisibility(StrEnum):
    private = "private"
    group = "group"


class Chat(TenantTable, Timestamps, table=True):
    """The id is a cuid, or any id the client chose: unique on the whole instance."""

    __tablename__ = "chats"
    __table_args__ = (
        tenant_key(),
        belongs_to("agent_id", "agents"),
        one_of("mode", ChatMode),
        one_of("status", ChatStatus),
        one_of("origin", ChatOrigin),
        one_of("visibility", ChatVisibility),
        Index("chats_workspace_id_agent_id_last_activity_at_idx", "workspace_id", "agent_id", "last_activity_at"),
        Index("chats_workspace_id_updated_at_idx", "workspace_id", "updated_at"),
    )
    agent_id: str
    created_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    title: str | None = None
    mode: ChatMode = Field(default=ChatMode.CHAT, sa_type=Text)
    status: ChatStatus = Field(default=ChatStatus.ACTIVE, sa_type=Text)
    origin: ChatOrigin | None = Field(default=None, sa_type=Text)
    visibility: ChatVisibility = Field(default=ChatVisibility.private, sa_type=Text)
    message_count: int = 0
    last_activity_at: datetime = time_field(default_factory=now)
    started_at: datetime = time_field(default_factory=now)
    ended_at: datetime | None = time_field(default=None)
