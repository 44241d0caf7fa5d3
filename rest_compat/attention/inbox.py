"""REST: the inbox."""

from typing import Annotated

from models.attention.inbox import InboxItem, InboxState
from resolvers.attention import inbox
from resolvers.attention.inbox.changes import PurgedInbox, UpdatedInboxItems
from rest_compat.http.envelopes import SHOWN, AnswerOf, Envelope
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, From, Wire


class InboxItemJSON(Wire, of=InboxItem):
    """Empty keys are omitted. Times are RFC 3339 with milliseconds."""

    fields = """
        id workspace_id kind source_id target_user_id target_role title body_md sender_type sender_id sender_name
        avatar_seed avatar_style avatar_url state priority blocking payload read_at resolved_at resolved_by_user_id
        resolved_action created_at updated_at second_approver_required second_approver_by_workspace
        second_approver_by_tier security_level_label
    """
    absent = """
        target_user_id target_role body_md sender_type sender_id sender_name avatar_seed avatar_style avatar_url
        payload resolved_by_user_id resolved_action second_approver_required second_approver_by_workspace
        second_approver_by_tier security_level_label
    """
    read_at: Annotated[str | None, From("read_at_ms"), Absent()]
    resolved_at: Annotated[str | None, From("resolved_at_ms"), Absent()]
    created_at: Annotated[str, From("created_at_ms")]
    updated_at: Annotated[str, From("updated_at_ms")]


class InboxCountJSON(Wire, of=inbox.InboxCount):
    unread_count: int


class InboxJSON(Envelope):
    """`unread_count` counts all unread items that the caller can see, regardless of the filters."""

    rows: list[InboxItemJSON]
    count: Annotated[int, SHOWN]
    unread_count: Annotated[int, AnswerOf(inbox.count_inbox, "unread_count")]


class InboxItemStateJSON(Wire, of=InboxItem):
    id: str
    state: InboxState


ROUTES = (
    GET("/api/v1/inbox", inbox.list_inbox, InboxJSON),
    DELETE("/api/v1/inbox", inbox.purge, PurgedInbox),
    GET("/api/v1/inbox/count", inbox.count_inbox, InboxCountJSON),
    POST("/api/v1/inbox/bulk", inbox.update_items, UpdatedInboxItems),
    GET("/api/v1/inbox/{id}", inbox.get_item, InboxItemJSON),
    PATCH("/api/v1/inbox/{id}", inbox.update_item, InboxItemStateJSON),
)
