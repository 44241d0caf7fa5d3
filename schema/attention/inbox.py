"""GraphQL: the inbox."""

import strawberry

from models.attention.inbox import InboxItem, SenderType
from resolvers.attention import inbox as inbox_ops
from resolvers.attention.inbox.changes import PurgedKind, UpdatedInboxItems
from schema.bridge.fields import enum, mutation, node, output, query

output(
    UpdatedInboxItems,
    fields={
        "skipped_ids": list[str],
        "not_found": ("The number of ids of items that do not exist or are not visible to the caller."),
    },
)


enum(PurgedKind, name="PurgedInboxKind")
enum(SenderType, name="InboxSenderType")


@node(InboxItem)
class InboxItemType:
    """An item that requires attention: of a user, of a role and higher roles, or of everyone if neither is set."""

    fields = """
        id workspace_id kind source_id target_user_id target_role title body_md sender_type sender_id sender_agent
        sender_name avatar_seed avatar_style state priority blocking payload read_at read_by_user_id resolved_at
        resolved_by_user_id resolved_action created_at updated_at
    """
    source_id: str = strawberry.field(description="The subject of the item; unique together with the kind.")
    body_md = strawberry.field(description="Markdown.")
    sender_agent = strawberry.field(description="Null unless an agent sent it.")
    blocking = strawberry.field(description="True if work waits for it.")


@node(inbox_ops.InboxCount)
class InboxCountType:
    """Unread items that the caller can see."""

    unread_count: int


@strawberry.type
class InboxQuery:
    inbox = query(inbox_ops.list_inbox, InboxItemType)
    inbox_item = query(inbox_ops.get_item, InboxItemType)
    inbox_count = query(inbox_ops.count_inbox, InboxCountType)


@strawberry.type
class InboxMutation:
    update_inbox_item = mutation(inbox_ops.update_item, InboxItemType)
    update_inbox_items = mutation(inbox_ops.update_items)
    purge_inbox = mutation(inbox_ops.purge)
