"""Chats of users with agents."""

from resolvers.kernel import Domain
from resolvers.staff.chats.attachments import delete_attachment
from resolvers.staff.chats.branching import branch_chat
from resolvers.staff.chats.finding import find_chats
from resolvers.staff.chats.lifecycle import create_chat, delete_chat, rename_chat
from resolvers.staff.chats.listing import ReadMark, get_chat, list_chats, list_chats_of_agent, mark_read
from resolvers.staff.chats.messages import ALL, find_messages, list_messages
from resolvers.staff.chats.participants import add_participant, list_participants, remove_participant
from resolvers.staff.chats.reactions import ReactionCount, add_reaction, list_reactions, remove_reaction
from resolvers.staff.chats.retrying import retry_run
from resolvers.staff.chats.sending import Sent, cancel_message, send_message
from resolvers.staff.chats.steering import Steered, steer_chat

DOMAIN = Domain("chats")
