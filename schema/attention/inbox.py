"""GraphQL: the inbox."""

import strawberry

from models.attention.approvals import Approval
from models.attention.inbox import InboxItem, InboxSubject, SenderType
from models.resources.budgets import Budget
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.assignments import Escalation
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Mission, MissionTask
from models.work.work_pauses import WorkPause
from resolvers.attention import inbox as inbox_ops
from resolvers.attention.inbox.attention import Attention, list_attention
from resolvers.attention.inbox.changes import PurgedKind, UpdatedInboxItems
from resolvers.attention.inbox.following import ATTENTION, AttentionChange
from resolvers.attention.inbox.handing_over import hand_over, take_back
from resolvers.attention.inbox.handovers import Handover
from resolvers.attention.inbox.kinds import AttentionSubject
from schema.bridge.fields import enum, mutation, node, output, query, union
from schema.live import followed

output(
    UpdatedInboxItems,
    fields={
        "skipped_ids": list[str],
        "not_found": ("The number of ids of items that do not exist or are not visible to the caller."),
    },
)


enum(AttentionSubject, name="AttentionSubjectType")
enum(InboxSubject, name="InboxSubjectType")
enum(PurgedKind, name="PurgedInboxKind")
enum(SenderType, name="InboxSenderType")


union(
    "AttentionSubject",
    *(Approval, Escalation, MissionTask, Run, Budget, WorkPause, Mission, Credential, InboxItem),
    description="A row that needs attention.",
)
union(
    "InboxSubject",
    *(Approval, Escalation, MissionTask, Run, Budget, WorkPause, Mission, Agent, Crew, Chat),
    description="A row that an inbox item is about.",
)


@node(InboxItem)
class InboxItemType:
    """An item that requires attention: of a user, of a role and higher roles, or of everyone if neither is set."""

    fields = """
        id workspace_id kind source_id target_user_id target_role title body_md sender_type sender_id sender_agent
        sender_name avatar_seed avatar_style state priority blocking payload read_at read_by_user_id resolved_at
        subject_type subject_id subject resolved_by_user_id resolved_action created_at updated_at
        second_approver_required second_approver_by_workspace second_approver_by_tier security_level_label
    """
    second_approver_required = strawberry.field(
        description="True if it is about a credential that the caller cannot decide on alone; otherwise null."
    )
    security_level_label = strawberry.field(description="The security level of the credential that it is about.")
    source_id: str = strawberry.field(description="The subject of the item; unique together with the kind.")
    body_md = strawberry.field(description="Markdown.")
    subject = strawberry.field(description="The row that it is about; null if the caller cannot read it.")
    sender_agent = strawberry.field(description="Null unless an agent sent it.")
    blocking = strawberry.field(description="True if work waits for it.")


@node(inbox_ops.InboxCount)
class InboxCountType:
    """Unread items that the caller can see."""

    unread_count: int


@node(Attention)
class AttentionType:
    """A row that needs something from people. Its id is stable as long as the row needs it."""

    fields = """
        id workspace_id kind urgency since title subject_type subject_id subject crew_id crew agent_id agent item_id
        item handover
    """
    urgency = strawberry.field(
        description="1: work waits for a decision. 2: work has stopped. 3: work continues meanwhile. 4: anything else."
    )
    since = strawberry.field(description="Time from which the row has needed attention, or of its last change.")
    subject = strawberry.field(description="Null if the caller cannot read it.")
    agent = strawberry.field(description="Null if no agent is concerned, or if it is deleted.")
    item_id = strawberry.field(description="The inbox item of a failed run: resolving it removes the entry.")


@node(Handover)
class HandoverType:
    """The member to whom an entry was handed over, and by whom."""

    fields = "user_id user by_id by note"


@node(AttentionChange)
class AttentionChangeType:
    """An entry of the list of what needs attention that may be new, changed or gone."""

    fields = "id attention"
    id: strawberry.ID | None = strawberry.field(
        description="Id of the entry. Null if any entry may have changed: read the list again."
    )
    attention = strawberry.field(
        description="The entry as it is now; null if it does not need attention, or not from the caller."
    )


@strawberry.type
class InboxQuery:
    attention = query(list_attention, AttentionType)
    inbox = query(inbox_ops.list_inbox, InboxItemType)
    inbox_item = query(inbox_ops.get_item, InboxItemType)
    inbox_count = query(inbox_ops.count_inbox, InboxCountType)


@strawberry.type
class InboxMutation:
    update_inbox_item = mutation(inbox_ops.update_item, InboxItemType)
    update_inbox_items = mutation(inbox_ops.update_items)
    purge_inbox = mutation(inbox_ops.purge)
    hand_over_attention = mutation(hand_over)
    take_back_attention = mutation(take_back)


@strawberry.type
class InboxSubscription:
    attention_events = followed(
        ATTENTION,
        AttentionChangeType,
        "AttentionEvent",
        "Changes of the list of what needs attention, as the caller sees it: store each entry by its id, or remove it"
        " if it is null. Entries that change by time alone, such as budgets whose day ends, are not sent.",
    )
