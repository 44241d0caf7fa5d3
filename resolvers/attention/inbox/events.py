"""Events of the inbox of a workspace, and of notifications of one user."""

from typing import Annotated, Literal

from resolvers.kernel import Event, Routing
from resolvers.kernel.declarations.events import Distinct


class InboxItemUpdated(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """An inbox item was added, read, resolved or reopened."""

    id: str
    state: str


class InboxBulkUpdated(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """Several inbox items were updated at once. Not sent if none was."""

    bulk: Literal["true"]
    state: str


class InboxPurged(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """Inbox items were deleted. Not sent if none was."""

    purge: Literal["true"]


class InboxChatRead(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """A user has read a chat, and its notice was removed from the inbox; `chat` is the id of the chat."""

    source: Literal["chat_read"]
    chat: Annotated[str, Distinct("chat_id")]


class InboxChatReplied(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """An agent has replied in a chat, and a user got a notice of it; `chat` is the id of the chat."""

    source: Literal["chat_reply"]
    chat: Annotated[str, Distinct("chat_id")]


class NotificationCreated(Event, type="notification.created", channel="user:{user_id}"):
    """This user has a new notification."""

    user_id: Annotated[str, Routing()]
    id: str
    action: str
    entity_type: str
    entity_id: str
    entity_title: str
