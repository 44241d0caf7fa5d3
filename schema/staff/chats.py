"""GraphQL: chats, their messages, and what is said in them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.staff.chats import (
    Chat,
    ChatAttachment,
    ChatMode,
    ChatOrigin,
    ChatParticipant,
    ChatStatus,
    ChatVisibility,
    Message,
    MessageRole,
    ParticipantRole,
)
from resolvers.staff import chats as chat_ops
from schema.bridge.fields import Edge, Edges, mutation, node, output, query
from schema.bridge.results import DeletedType, SuccessType


@node(ChatParticipant)
class ChatParticipantType:
    """A user who takes part in a group chat."""

    id: strawberry.ID
    user_id: strawberry.ID
    user: Edge | None
    role: ParticipantRole
    joined_at: datetime


@node(ChatAttachment)
class ChatAttachmentType:
    """A file that a user attached to a chat."""

    id: strawberry.ID
    chat_id: strawberry.ID
    chat: Edge | None
    name: str
    size: int = strawberry.field(description="In bytes.")
    media_type: str | None = strawberry.field(description="As it was sent.")
    path: str = strawberry.field(description="In the agent's folder.")
    agent_path: str = strawberry.field(description="What the agent calls the file.")
    uploaded_by: strawberry.ID | None = strawberry.field(
        description="Null if it was not recorded or the account was deleted.",
    )
    uploader: Edge | None
    created_at: datetime
    updated_at: datetime = strawberry.field(description="When it was last replaced.")


@node(chat_ops.ReactionCount, name="Reaction")
class ReactionType:
    """An emoji with which users have reacted to a message."""

    emoji: str
    count: int
    mine: bool = strawberry.field(description="Whether the caller is one of them.")


@node(Message)
class MessageType:
    """One turn of a chat. Parts of an agent's turn are its text, thinking and tool calls, in order."""

    id: strawberry.ID = strawberry.field(description="Ids within a chat sort by time.")
    chat_id: strawberry.ID
    chat: Edge | None
    agent_id: strawberry.ID | None
    agent: Edge | None
    role: MessageRole
    content: str
    parts: JSON | None = strawberry.field(
        description="Null for turns of users. Every part has a type; text, thinking and results have content.",
    )
    tool_name: str | None
    tool_summary: str | None
    data: JSON | None = strawberry.field(name="metadata")
    author_user_id: strawberry.ID | None
    author: Edge | None
    reactions: Edges
    created_at: datetime


@node(Chat)
class ChatType:
    """A conversation with an agent; several users can take part in a group chat."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    agent_id: strawberry.ID
    agent: Edge | None
    agent_slug: str = strawberry.field(description="Slug of the agent, even if the agent is deleted.")
    created_by: strawberry.ID | None
    creator: Edge | None
    title: str | None
    mode: ChatMode
    status: ChatStatus
    origin: ChatOrigin | None
    visibility: ChatVisibility
    message_count: int
    unread_count: int = strawberry.field(
        description="Messages of others after the caller's read mark, among the newest 1000 of the chat.",
    )
    last_seq: int = strawberry.field(description="Number of the newest frame.")
    last_activity_at: datetime
    started_at: datetime
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime
    messages: Edges
    participants: Edges
    attachments: Edges
    runs: Edges


@output(chat_ops.ReadMark)
class ReadMarkType:
    """The position up to which the caller has read a chat, in milliseconds."""

    chat_id: strawberry.ID
    last_read_at: datetime


@output(chat_ops.Steered)
class SteeredType:
    """The message is queued for the agent's next turn."""

    queued: bool
    in_flight: bool = strawberry.field(
        description="Whether a run was live when the message arrived; it is not interrupted.",
    )


@output(chat_ops.Sent)
class SentType:
    """The message is stored. Without a run the agent was not asked."""

    run_id: strawberry.ID | None
    message_id: strawberry.ID
    from_seq: int = strawberry.field(description="Number of the newest frame of the chat before the message.")
    seq: int = strawberry.field(description="Number of the newest frame of the chat; the answer follows it.")


@output(chat_ops.Cancelled)
class CancelledType:
    """Whether the caller had a run in the chat: it has ended, or its worker is asked to end it."""

    cancelled: bool


@strawberry.type
class ChatQuery:
    chats = query(chat_ops.list_chats, ChatType)
    agent_chats = query(chat_ops.list_chats_of_agent, ChatType)
    chat = query(chat_ops.get_chat, ChatType)
    messages = query(chat_ops.list_messages, MessageType)
    chat_participants = query(chat_ops.list_participants, ChatParticipantType)
    message_reactions = query(chat_ops.list_reactions, ReactionType)


@strawberry.type
class ChatMutation:
    create_chat = mutation(chat_ops.create_chat, ChatType)
    rename_chat = mutation(chat_ops.rename_chat, ChatType)
    delete_chat = mutation(chat_ops.delete_chat, DeletedType)
    delete_chat_attachment = mutation(chat_ops.delete_attachment, DeletedType)
    mark_chat_read = mutation(chat_ops.mark_read, ReadMarkType)
    add_chat_participant = mutation(chat_ops.add_participant, SuccessType)
    remove_chat_participant = mutation(chat_ops.remove_participant, SuccessType)
    add_reaction = mutation(chat_ops.add_reaction, SuccessType)
    remove_reaction = mutation(chat_ops.remove_reaction, SuccessType)
    steer_chat = mutation(chat_ops.steer_chat, SteeredType)
    send_message = mutation(chat_ops.send_message, SentType)
    cancel_message = mutation(chat_ops.cancel_message, CancelledType)
