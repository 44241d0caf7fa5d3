"""GraphQL: chats and their messages."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.staff.chats import Chat, ChatAttachment, ChatParticipant, Message
from resolvers.staff import chats as chat_ops
from schema.bridge.fields import acts, mutation, node, output, query

output(chat_ops.ReadMark, fields={"last_read_at": datetime})
output(
    chat_ops.Steered, fields={"in_flight": "True if a run was active when the message arrived; it is not interrupted."}
)
output(
    chat_ops.Sent,
    fields={
        "from_seq": "Number of the newest frame of the chat before the message.",
        "seq": "Number of the newest frame of the chat; the answer follows it.",
    },
)


@node(ChatParticipant)
class ChatParticipantType:
    """A user who takes part in a group chat."""

    fields = "id user_id user role joined_at"


@node(ChatAttachment)
class ChatAttachmentType:
    """A file that a user attached to a chat."""

    fields = "id chat_id chat name size media_type path agent_path uploaded_by uploader created_at updated_at"
    size = strawberry.field(description="In bytes.")
    media_type = strawberry.field(description="The value as sent.")
    path = strawberry.field(description="Path relative to the agent's folder.")
    agent_path = strawberry.field(description="The path of the file as the agent sees it.")
    uploaded_by: strawberry.ID | None = strawberry.field(
        description="Null if it was not recorded or the account was deleted.",
    )
    updated_at = strawberry.field(description="When it was last replaced.")


@node(chat_ops.ReactionCount, name="Reaction")
class ReactionType:
    """An emoji with which users have reacted to a message."""

    emoji: str
    count: int
    mine: bool = strawberry.field(description="True if the caller is among them.")


@node(Message)
class MessageType:
    """One turn of a chat. Parts of an agent's turn are its text, thinking and tool calls, in order."""

    fields = """
        id chat_id chat seq agent_id agent role content parts part_count newest_parts tool_name tool_summary data
        author_user_id author run_id run reactions created_at
    """
    id = strawberry.field(description="Ids within a chat sort by time.")
    seq = strawberry.field(description="Number of the message in its chat.")
    part_count = strawberry.field(description="Number of parts, 0 for turns of users.")
    newest_parts: JSON | None = strawberry.field(
        description="The same as `parts` if these are small, else the last 12 of them.",
    )
    parts: JSON | None = strawberry.field(
        description="Null for turns of users. Every part has a type; text, thinking and results have content.",
    )
    data = strawberry.field(name="metadata")
    run_id: strawberry.ID | None
    run = strawberry.field(
        description="The run that the message started, or whose agent wrote it. A message of a branch has the run of "
        "the message that it copies.",
    )


@node(Chat)
class ChatType:
    """A conversation with an agent; several users can take part in a group chat."""

    fields = """
        id workspace_id agent_id agent agent_slug created_by creator title mode status origin visibility message_count
        unread_count last_seq last_activity_at started_at ended_at created_at updated_at messages participants
        attachments runs pending_approvals viewer_can
    """
    viewer_can = acts()
    agent_slug = strawberry.field(description="Slug of the agent, even if the agent is deleted.")
    created_by: strawberry.ID | None
    unread_count = strawberry.field(
        description="Messages of others after the caller's read mark, among the newest 1000 of the chat.",
    )
    last_seq = strawberry.field(description="Number of the newest frame.")


@strawberry.type
class ChatQuery:
    chats = query(chat_ops.list_chats, ChatType)
    find_chats = query(chat_ops.find_chats, ChatType)
    agent_chats = query(chat_ops.list_chats_of_agent, ChatType)
    chat = query(chat_ops.get_chat, ChatType)
    messages = query(chat_ops.list_messages, MessageType)
    find_messages = query(chat_ops.find_messages, MessageType)
    chat_participants = query(chat_ops.list_participants, ChatParticipantType)
    message_reactions = query(chat_ops.list_reactions, ReactionType)


@strawberry.type
class ChatMutation:
    create_chat = mutation(chat_ops.create_chat, ChatType)
    branch_chat = mutation(chat_ops.branch_chat, ChatType)
    rename_chat = mutation(chat_ops.rename_chat, ChatType)
    delete_chat = mutation(chat_ops.delete_chat)
    delete_chat_attachment = mutation(chat_ops.delete_attachment)
    mark_chat_read = mutation(chat_ops.mark_read)
    add_chat_participant = mutation(chat_ops.add_participant)
    remove_chat_participant = mutation(chat_ops.remove_participant)
    add_reaction = mutation(chat_ops.add_reaction)
    remove_reaction = mutation(chat_ops.remove_reaction)
    steer_chat = mutation(chat_ops.steer_chat)
    send_message = mutation(chat_ops.send_message)
    cancel_message = mutation(chat_ops.cancel_message)
