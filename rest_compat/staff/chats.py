"""REST: chats and their messages."""

from datetime import datetime
from typing import Annotated, Any

from models.staff.chats import Chat, ChatAttachment, ChatParticipant, Message
from resolvers.staff import chats
from resolvers.staff.chats import attachments, streaming
from rest_compat.http.envelopes import Envelope, FromInput
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, Fixed, From, Streaming, Upload, Wire


class ChatJSON(Wire, of=Chat):
    fields = """
        id agent_id workspace_id title mode status message_count started_at ended_at created_at origin last_activity_at
        unread_count
    """
    last_activity_at: Annotated[datetime, From("last_activity_at_ms")]


class ChatCreatedJSON(Wire, of=Chat):
    id: str


class ChatSummaryJSON(Wire, of=Chat):
    fields = "id agent_id agent_slug title updated_at"


class MessageJSON(Wire, of=Message):
    fields = "id session_id agent_id role content parts tool_name tool_summary metadata ts author_user_id"
    absent = "agent_id parts tool_name tool_summary author_user_id"
    session_id: Annotated[str, From("chat_id")]
    metadata: Annotated[dict[str, Any] | None, From("data"), Absent()]
    ts: Annotated[datetime, From("created_at")]


class MessageListJSON(Envelope):
    """`chat_id` is absent for an unknown chat, and for one the caller cannot read."""

    chat_id: Annotated[str | None, FromInput(), Absent()]
    messages: list[MessageJSON]


class ReactionJSON(Wire, of=chats.ReactionCount):
    fields = "emoji count mine"


class ParticipantJSON(Wire, of=ChatParticipant):
    fields = "user_id email full_name role joined_at"
    email: Annotated[str | None, Absent()]
    full_name: Annotated[str | None, Absent()]


def _whole_history(query: dict[str, str]) -> dict[str, str]:
    """A request without a window gets all messages (contract: chats.messages)."""
    return dict(query) if query.keys() & {"limit", "offset"} else query | {"limit": chats.ALL}


def _resumed(request: Any) -> dict[str, Any]:
    """The query, and without a number in it the one of the last event that the client has seen."""
    seen = request.headers.get(b"last-event-id", b"").decode("latin-1")
    return {**({"last_seq": seen} if seen else {}), **request.query}


CHAT = "/api/v1/chats/{chatId}"
MESSAGE = f"{CHAT}/messages/{{messageId}}"
ATTACHMENTS = "/api/v1/agents/{agentId}/chats/{chatId}/attachments"


class ChatAttachmentJSON(Wire, of=ChatAttachment):
    """`path` is relative to the agent's folder. `sha256` is null for a file from before it was recorded."""

    fields = """
        id workspace_id owner_type owner_id filename content_type size_bytes sha256 uploaded_by_user_id
        uploaded_by_agent_id uploaded_by_name created_at path agent_path
    """
    owner_type: Annotated[str, Fixed('"chat"')]
    owner_id: Annotated[str, From("chat_id")]
    filename: Annotated[str, From("name")]
    content_type: Annotated[str, From("content_type")]
    size_bytes: Annotated[int, From("size")]
    uploaded_by_user_id: Annotated[str | None, From("uploaded_by")]
    uploaded_by_agent_id: Annotated[str | None, Fixed("null")]


ROUTES = (
    GET("/api/v1/agents/{agentId}/chats", chats.list_chats_of_agent, list[ChatJSON]),
    POST("/api/v1/agents/{agentId}/chats", chats.create_chat, ChatCreatedJSON, status=201),
    PATCH("/api/v1/agents/{agentId}/chats/{chatId}", chats.rename_chat, ChatJSON),
    DELETE("/api/v1/agents/{agentId}/chats/{chatId}", chats.delete_chat, status=204),
    PUT("/api/v1/agents/{agentId}/chats/{chatId}/read", chats.mark_read, chats.ReadMark),
    POST(
        ATTACHMENTS,
        attachments.attach_file,
        attachments.Attachment,
        status=201,
        body=Upload(attachments.MOST_SENT, form=attachments.FIELD),
    ),
    GET(ATTACHMENTS, attachments.list_attachments, list[ChatAttachmentJSON]),
    DELETE(f"{ATTACHMENTS}/{{attachmentId}}", attachments.detach_file, status=204),
    GET("/api/v1/chats", chats.list_chats, list[ChatSummaryJSON], envelope="data"),
    GET("/api/v1/chats/{chatId}", chats.get_chat, ChatSummaryJSON),
    GET(f"{CHAT}/stream", streaming.stream_chat, gives=Streaming("application/x-ndjson"), reads=_resumed),
    GET("/api/v1/chats/{chatId}/messages", chats.list_messages, MessageListJSON, completes=_whole_history),
    GET(f"{MESSAGE}/reactions", chats.list_reactions, list[ReactionJSON], envelope="reactions"),
    POST(f"{MESSAGE}/reactions", chats.add_reaction, status=204),
    DELETE(f"{MESSAGE}/reactions/{{emoji}}", chats.remove_reaction, status=204),
    GET(f"{CHAT}/participants", chats.list_participants, list[ParticipantJSON], envelope="participants"),
    POST(f"{CHAT}/participants", chats.add_participant, status=204),
    DELETE(f"{CHAT}/participants/{{userId}}", chats.remove_participant, status=204),
    POST("/api/v1/chats/{chatId}/steer", chats.steer_chat, chats.Steered, status=202),
)
