"""REST: chats and their messages."""

from datetime import datetime
from typing import Annotated, Any

from models.staff.chats import (
    Chat,
    ChatMode,
    ChatOrigin,
    ChatParticipant,
    ChatStatus,
    Message,
    MessageRole,
    ParticipantRole,
)
from resolvers.staff import chats
from resolvers.staff.chats import attachments
from rest_compat.http.envelopes import Envelope, FromInput
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, From, Upload, Wire


class ChatJSON(Wire, of=Chat):
    id: str
    agent_id: str
    workspace_id: str
    title: str | None
    mode: ChatMode
    status: ChatStatus
    message_count: int
    started_at: datetime
    ended_at: datetime | None
    created_at: datetime
    origin: ChatOrigin | None
    last_activity_at: Annotated[datetime, From("last_activity_at_ms")]
    unread_count: int


class ChatCreatedJSON(Wire, of=Chat):
    id: str


class ChatSummaryJSON(Wire, of=Chat):
    id: str
    agent_id: str
    agent_slug: str
    title: str | None
    updated_at: datetime


class MessageJSON(Wire, of=Message):
    id: str
    session_id: Annotated[str, From("chat_id")]
    agent_id: Annotated[str | None, Absent()]
    role: MessageRole
    content: str
    parts: Annotated[list[Any] | None, Absent()]
    tool_name: Annotated[str | None, Absent()]
    tool_summary: Annotated[str | None, Absent()]
    metadata: Annotated[dict[str, Any] | None, From("data"), Absent()]
    ts: Annotated[datetime, From("created_at")]
    author_user_id: Annotated[str | None, Absent()]


class MessageListJSON(Envelope):
    """`chat_id` is absent for an unknown chat, and for one the caller cannot read."""

    chat_id: Annotated[str | None, FromInput(), Absent()]
    messages: list[MessageJSON]


class ReactionJSON(Wire, of=chats.ReactionCount):
    emoji: str
    count: int
    mine: bool


class ParticipantJSON(Wire, of=ChatParticipant):
    user_id: str
    email: Annotated[str | None, Absent()]
    full_name: Annotated[str | None, Absent()]
    role: ParticipantRole
    joined_at: datetime


def _whole_history(query: dict[str, str]) -> dict[str, str]:
    """Who names no window wants everything (contract: chats.messages)."""
    return dict(query) if query.keys() & {"limit", "offset"} else query | {"limit": chats.ALL}


CHAT = "/api/v1/chats/{chatId}"
MESSAGE = f"{CHAT}/messages/{{messageId}}"
ROUTES = (
    GET("/api/v1/agents/{agentId}/chats", chats.list_chats_of_agent, list[ChatJSON]),
    POST("/api/v1/agents/{agentId}/chats", chats.create_chat, ChatCreatedJSON, status=201),
    PATCH("/api/v1/agents/{agentId}/chats/{chatId}", chats.rename_chat, ChatJSON),
    DELETE("/api/v1/agents/{agentId}/chats/{chatId}", chats.delete_chat, status=204),
    PUT("/api/v1/agents/{agentId}/chats/{chatId}/read", chats.mark_read, chats.ReadMark),
    POST(
        "/api/v1/agents/{agentId}/chats/{chatId}/attachments",
        attachments.attach_file,
        attachments.Attachment,
        status=201,
        body=Upload(attachments.MOST_SENT, form=attachments.FIELD),
    ),
    GET("/api/v1/chats", chats.list_chats, list[ChatSummaryJSON], envelope="data"),
    GET("/api/v1/chats/{chatId}", chats.get_chat, ChatSummaryJSON),
    GET("/api/v1/chats/{chatId}/messages", chats.list_messages, MessageListJSON, completes=_whole_history),
    GET(f"{MESSAGE}/reactions", chats.list_reactions, list[ReactionJSON], envelope="reactions"),
    POST(f"{MESSAGE}/reactions", chats.add_reaction, status=204),
    DELETE(f"{MESSAGE}/reactions/{{emoji}}", chats.remove_reaction, status=204),
    GET(f"{CHAT}/participants", chats.list_participants, list[ParticipantJSON], envelope="participants"),
    POST(f"{CHAT}/participants", chats.add_participant, status=204),
    DELETE(f"{CHAT}/participants/{{userId}}", chats.remove_participant, status=204),
    POST("/api/v1/chats/{chatId}/steer", chats.steer_chat, chats.Steered, status=202),
)
