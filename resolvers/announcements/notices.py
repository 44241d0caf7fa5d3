"""What is put before people: the inbox of a workspace, and notifications of one user."""

from typing import Annotated, Literal

from resolvers.kernel import Event, Routing

RoutineChange = Literal[
    "routine_deleted", "routine_governance_skipped", "routine_proposed", "routine_approved", "routine_rejected", "routine_disabled"
]  # fmt: skip


class InboxItemUpdated(Event, type="inbox.updated", channel="workspace:{workspace_id}", planned=True):
    """An item of the inbox was read, put away or opened again."""

    id: str
    state: str


class InboxBulkUpdated(Event, type="inbox.updated", channel="workspace:{workspace_id}", planned=True):
    """Several items of the inbox were changed at once. Not sent when none was."""

    bulk: Literal["true"]
    state: str


class InboxPurged(Event, type="inbox.updated", channel="workspace:{workspace_id}", planned=True):
    """Items of the inbox were deleted. Not sent when none was."""

    purge: Literal["true"]


class InboxChatRead(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """A user has read a chat, and its notice is gone from the inbox; `chat` is the chat's id."""

    source: Literal["chat_read"]
    chat: str


class InboxChatReplied(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """An agent has answered in a chat, and somebody got a notice of it; `chat` is the chat's id."""

    source: Literal["chat_reply"]
    chat: str


class InboxRoutineNotified(Event, type="inbox.updated", channel="workspace:{workspace_id}", planned=True):
    """A step of a pipeline has put a notice in the inbox."""

    source: Literal["routine_notify"]
    run_id: str
    step_id: str


class InboxRoutineChanged(Event, type="inbox.updated", channel="workspace:{workspace_id}", planned=True):
    """A routine was proposed, decided on, switched off or deleted, and the inbox changed with it."""

    reason: RoutineChange


class NotificationCreated(Event, type="notification.created", channel="user:{user_id}", planned=True):
    """This user got a notification."""

    user_id: Annotated[str, Routing()]
    id: str
    action: str
    entity_type: str
    entity_id: str
    entity_title: str
