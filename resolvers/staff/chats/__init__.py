"""Chats of users with agents."""

from resolvers.kernel import Domain
from resolvers.staff.chats.attachments import delete_attachment
from resolvers.staff.chats.lifecycle import create_chat, delete_chat, rename_chat
from resolvers.staff.chats.listing import ReadMark, get_chat, list_chats, list_chats_of_agent, mark_read
from resolvers.staff.chats.messages import ALL, list_messages
from resolvers.staff.chats.participants import add_participant, list_participants, remove_participant
from resolvers.staff.chats.reactions import ReactionCount, add_reaction, list_reactions, remove_reaction
from resolvers.staff.chats.sending import Cancelled, Sent, cancel_message, send_message
from resolvers.staff.chats.steering import Steered, steer_chat

DOMAIN = Domain("chats")

__all__ = [
    "ALL",
    "Cancelled",
    "ReactionCount",
    "ReadMark",
    "Sent",
    "Steered",
    "add_participant",
    "add_reaction",
    "cancel_message",
    "create_chat",
    "delete_attachment",
    "delete_chat",
    "get_chat",
    "list_chats",
    "list_chats_of_agent",
    "list_messages",
    "list_participants",
    "list_reactions",
    "mark_read",
    "remove_participant",
    "remove_reaction",
    "rename_chat",
    "send_message",
    "steer_chat",
]  # fmt: skip
