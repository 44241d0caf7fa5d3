"""GraphQL: the inbox."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.attention.inbox import InboxItem, InboxKind, InboxPriority, InboxState, SenderType
from models.people.workspaces import Role
from resolvers.attention import inbox as inbox_ops
from resolvers.attention.inbox.changes import PurgedInbox, PurgedKind, UpdatedInboxItems
from schema.bridge.fields import Edge, enum, mutation, node, output, query

enum(PurgedKind, name="PurgedInboxKind")
enum(SenderType, name="InboxSenderType")


@node(InboxItem)
class InboxItemType:
    """One thing to see to: for a user, for a role and those above it, or for everybody where neither is named."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    kind: InboxKind
    source_id: str = strawberry.field(description="What it is about; unique together with the kind.")
    target_user_id: strawberry.ID | None
    target_role: Role | None
    title: str
    body_md: str | None = strawberry.field(description="Markdown.")
    sender_type: SenderType | None
    sender_id: strawberry.ID | None
    sender_agent: Edge | None = strawberry.field(description="Null unless an agent has sent it.")
    sender_name: str | None
    avatar_seed: str | None
    avatar_style: str | None
    state: InboxState
    priority: InboxPriority
    blocking: bool = strawberry.field(description="Whether something waits for it.")
    payload: JSON | None
    read_at: datetime | None
    read_by_user_id: strawberry.ID | None
    resolved_at: datetime | None
    resolved_by_user_id: strawberry.ID | None
    resolved_action: str | None
    created_at: datetime
    updated_at: datetime


@node(inbox_ops.InboxCount)
class InboxCountType:
    """Unread items that the caller can see."""

    unread_count: int


@output(UpdatedInboxItems)
class UpdatedInboxItemsType:
    updated: int
    skipped: int
    skipped_ids: list[str]
    not_found: int = strawberry.field(description="Ids that name no item that the caller can see.")
    state: InboxState


@output(PurgedInbox)
class PurgedInboxType:
    deleted: int


@strawberry.type
class InboxQuery:
    inbox = query(inbox_ops.list_inbox, InboxItemType)
    inbox_item = query(inbox_ops.get_item, InboxItemType)
    inbox_count = query(inbox_ops.count_inbox, InboxCountType)


@strawberry.type
class InboxMutation:
    update_inbox_item = mutation(inbox_ops.update_item, InboxItemType)
    update_inbox_items = mutation(inbox_ops.update_items, UpdatedInboxItemsType)
    purge_inbox = mutation(inbox_ops.purge, PurgedInboxType)
