"""What is put before people: the inbox of a workspace, and notifications of one user."""

from typing import Annotated, Literal

from resolvers.kernel import Event, Routing

RoutineChange = Literal[
    "routine_deleted", "routine_governance_skipped", "routine_proposed", "routine_approved", "routine_rejected",
    "routine_disabled"
]  # fmt: skip


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
    chat: str


class InboxChatReplied(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """An agent has replied in a chat, and a user got a notice of it; `chat` is the id of the chat."""

    source: Literal["chat_reply"]
    chat: str


class InboxRoutineNotified(Event, type="inbox.updated", channel="workspace:{workspace_id}", planned=True):
    """A step of a pipeline has added a notice to the inbox."""

    source: Literal["routine_notify"]
    run_id: str
    step_id: str


class InboxRoutineChanged(Event, type="inbox.updated", channel="workspace:{workspace_id}", planned=True):
    """A routine was proposed, reviewed, disabled or deleted, and the inbox changed with it."""

    reason: RoutineChange


class NotificationCreated(Event, type="notification.created", channel="user:{user_id}"):
    """This user has a new notification."""

    user_id: Annotated[str, Routing()]
    id: str
    action: str
    entity_type: str
    entity_id: str
    entity_title: str
