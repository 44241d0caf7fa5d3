"""Chats with agents."""

import secrets
import time
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    Row,
    SoftDelete,
    TenantRow,
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    free_id,
    json_field,
    stored_at,
    tenant_id,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import DESCRIPTION, EMOJI, FILE_NAME, ID, LINE, NOTES, REPLY, TURN
from models.expiry import Expires
from models.personal_data import NOTHING, WHOSE, WORDS


class ChatMode(StrEnum):
    """CHAT is a conversation with users; MISSION groups the assignments of the mission with the same id."""

    CHAT = "CHAT"
    MISSION = "MISSION"


class ChatStatus(StrEnum):
    """The only state: chats that are over are deleted."""

    ACTIVE = "ACTIVE"


class ChatOrigin(StrEnum):
    """The origin of a chat."""

    UI = "UI"
    CLI = "CLI"
    WEBHOOK = "WEBHOOK"
    CRON = "CRON"
    AGENT = "AGENT"


class ChatVisibility(StrEnum):
    """A chat becomes a group with its first participant; members of the workspace can read both."""

    private = "private"
    group = "group"


CHAT_OF_WEBHOOKS: Final = "webhook-"
"""The beginning of the ids of an agent's webhook chat: clients cannot choose such an id."""


class Chat(TenantTable, Timestamps, table=True):
    """The id is a cuid, or an id that the client chose: unique in its workspace, and another workspace may use the
    same.

    `last_seq` is the number of the newest frame, `last_message_seq` that of the newest message. A writer raises it
    first, which locks the row until the commit: so the frames and messages of a chat become visible in the order of
    their numbers.
    """

    __tablename__ = "chats"
    __table_args__ = (
        PrimaryKeyConstraint("id", "workspace_id"),  # the id first: it is looked up among the workspaces of a caller
        tenant_key(),
        belongs_to("agent_id", "agents"),
        Index("chats_workspace_id_agent_id_last_activity_at_idx", "workspace_id", "agent_id", "last_activity_at"),
        Index("chats_workspace_id_updated_at_idx", "workspace_id", "updated_at"),
        Index("chats_agent_id_list_idx", "workspace_id", "agent_id", "updated_at"),
        Index(
            "chats_origin_list_idx", "workspace_id", "origin", "updated_at", postgresql_where=text("origin IS NOT NULL")
        ),
    )
    id: str = free_id()
    workspace_id: str = tenant_id()
    agent_id: str
    created_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    title: str | None = text_field(LINE, default=None, holds=WORDS)
    mode: ChatMode = enum_field(ChatMode.CHAT)
    status: ChatStatus = enum_field(ChatStatus.ACTIVE)
    origin: ChatOrigin | None = enum_field(ChatOrigin, default=None)
    visibility: ChatVisibility = enum_field(ChatVisibility.private)
    message_count: int = 0
    last_seq: int = 0
    last_message_seq: int = 0
    last_activity_at: datetime = stored_at()
    started_at: datetime = stored_at()
    ended_at: datetime | None = time_field(default=None)


class MessageRole(StrEnum):
    """The author of a message."""

    user = "user"
    assistant = "assistant"
    system = "system"
    tool = "tool"


def new_message_id() -> str:
    """`msg_<unix ns>_<16 hex>` (contract: chats.Message). By the process' clock: a chat's order is that of `seq`."""
    return f"msg_{time.time_ns()}_{secrets.token_hex(8)}"


class Message(TenantTable, table=True):
    """One turn of a chat; `seq` numbers them. `parts` of assistant and system turns: the agent's text, thinking and
    tool calls, in order. `run_id` names the run that the message started, or whose agent wrote it; a copy in a branch
    names it too.
    """

    __tablename__ = "messages"
    __table_args__ = (
        tenant_key(),
        belongs_to("chat_id", "chats", ondelete="CASCADE"),
        belongs_to("agent_id", "agents"),
        UniqueConstraint("workspace_id", "chat_id", "seq"),
    )
    id: str = text_field(ID, default_factory=new_message_id, primary_key=True)
    chat_id: str
    seq: int
    agent_id: str | None = None
    role: MessageRole = enum_field(MessageRole)
    content: str = text_field(REPLY, default="", holds=WORDS)
    parts: list[Any] | None = json_field(TURN, default=None, holds=WORDS)
    tool_name: str | None = text_field(LINE, default=None, holds=NOTHING)
    tool_summary: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    # "metadata" on the wire; SQLAlchemy keeps that name for itself
    data: dict[str, Any] | None = json_field(NOTES, default=None, holds=WORDS)
    author_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    run_id: str | None = text_field(ID, default=None, holds=NOTHING)  # no foreign key: it is written before its run
    created_at: datetime = stored_at("clock_timestamp()")


class ChatReadCursor(TenantRow, table=True):
    """A user's read position in a chat: the number of the last read message, and its time."""

    __tablename__ = "chat_read_cursors"
    __table_args__ = (belongs_to("chat_id", "chats", ondelete="CASCADE"),)
    user_id: str = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE")
    workspace_id: str = tenant_id()
    chat_id: str = Field(primary_key=True)
    last_read_seq: int
    last_read_at: datetime = stored_at()


class ParticipantRole(StrEnum):
    """The owner of a group chat adds and removes its members."""

    owner = "owner"
    member = "member"


class ChatParticipant(TenantTable, table=True):
    """A participant of a group chat, while a member of the workspace."""

    __tablename__ = "chat_participants"
    __table_args__ = (
        belongs_to("chat_id", "chats", ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["user_id", "workspace_id"], ["memberships.user_id", "memberships.workspace_id"], ondelete="CASCADE"
        ),
        UniqueConstraint("workspace_id", "chat_id", "user_id"),
        Index("chat_participants_user_id_idx", "user_id", "workspace_id"),
    )
    chat_id: str
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    role: ParticipantRole = enum_field(ParticipantRole.member)
    joined_at: datetime = stored_at("clock_timestamp()")


class MessageReaction(TenantTable, table=True):
    """A reaction to a message.

    The message need not exist: clients react to what they show (contract: chats.reactions_list).
    """

    __tablename__ = "message_reactions"
    __table_args__ = (
        belongs_to("chat_id", "chats", ondelete="CASCADE"),
        UniqueConstraint(
            "workspace_id", "chat_id", "message_id", "emoji", "user_id", name="message_reactions_of_user_key"
        ),
        Index("message_reactions_user_id_idx", "user_id"),
    )
    chat_id: str
    message_id: str = text_field(ID, holds=NOTHING)
    emoji: str = text_field(EMOJI, holds=NOTHING)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    created_at: datetime = stored_at()


class ChatAttachment(TenantTable, SoftDelete, Timestamps, table=True):
    """A file that was sent with a chat, in `<crew_id>/output/<folder>/attachments/<chat_id>/`.

    `folder` is the agent's slug at that time. A deleted one is a file that a job has still to remove. Without
    `uploaded_by`, the account is gone or the uploader was not recorded. `sha256` is null for files from before it was
    recorded.
    """

    __tablename__ = "chat_attachments"
    __table_args__ = (
        belongs_to("chat_id", "chats", ondelete="CASCADE"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "chat_id", "crew_id", "folder", "name", name="chat_attachments_of_place_key"),
        Index("chat_attachments_list_idx", "workspace_id", "chat_id", "created_at", "id"),
        Index("chat_attachments_workspace_id_crew_id_idx", "workspace_id", "crew_id"),
        Index("chat_attachments_uploaded_by_idx", "uploaded_by", "workspace_id"),
    )
    chat_id: str
    crew_id: str
    folder: str = text_field(LINE * 2, holds=NOTHING)
    name: str = text_field(FILE_NAME, holds=NOTHING)
    size: int = Field(sa_type=BigInteger)
    media_type: str | None = text_field(LINE, default=None, holds=NOTHING)
    sha256: str | None = text_field(LINE, default=None, holds=NOTHING)
    uploaded_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")


class AttachmentTotal(TenantRow, table=True):
    """The total size of a workspace's attachments, without deleted ones: triggers of their table change it.

    A workspace without attachments may have no row.
    """

    __tablename__ = "attachment_totals"
    workspace_id: str = tenant_id()
    bytes: int = Field(sa_type=BigInteger)


class ChatPresence(Row, table=True):
    """A process has a connected user who listens to a chat. The row is valid up to `until`, which the process extends
    meanwhile.

    It is worthless after a crash, and so not logged: rows of a dead process expire.
    """

    __tablename__ = "chat_presence"
    __expires__: ClassVar = Expires("until")
    __table_args__ = (Index("chat_presence_until_idx", "until"), {"prefixes": ["UNLOGGED"]})
    workspace_id: str = text_field(ID, primary_key=True)
    chat_id: str = text_field(ID, primary_key=True, holds=NOTHING)
    user_id: str = text_field(ID, primary_key=True, holds=WHOSE)
    process: str = text_field(LINE, primary_key=True, holds=NOTHING)
    until: datetime = time_field()
