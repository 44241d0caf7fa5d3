"""Items in the inbox of a workspace."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import TenantTable, Timestamps, enum_field, free_id, json_field, tenant_id, text_field, time_field
from models.bounds import DESCRIPTION, ID, LINE, NOTES
from models.machines import Machine
from models.people.workspaces import Role
from models.personal_data import AUTHOR, MENTIONS, NOTHING, WORDS


class InboxKind(StrEnum):
    """The kind of an inbox item; a waitpoint is a decision that work waits for."""

    waitpoint = "waitpoint"
    escalation = "escalation"
    failed_run = "failed_run"
    message = "message"
    memory_consolidation = "memory_consolidation"
    schedule_missed = "schedule_missed"
    schedule_circuit_breaker_tripped = "schedule_circuit_breaker_tripped"


class InboxState(StrEnum):
    """The state of an item; resolved items are closed."""

    unread = "unread"
    read = "read"
    resolved = "resolved"


class InboxSubject(StrEnum):
    """The kind of row that an inbox item is about."""

    approval = "approval"
    escalation = "escalation"
    mission_task = "mission_task"
    run = "run"
    budget = "budget"
    work_pause = "work_pause"
    issue = "issue"
    mission = "mission"
    agent = "agent"
    crew = "crew"
    chat = "chat"


class InboxPriority(StrEnum):
    """The urgency of an item, in descending order."""

    urgent = "urgent"
    high = "high"
    medium = "medium"
    low = "low"


class SenderType(StrEnum):
    """The sender of an inbox item."""

    agent = "agent"
    crew = "crew"
    system = "system"
    pipeline = "pipeline"
    user = "user"


FAILED_RUNS = "kind = 'failed_run' AND state <> 'resolved' AND subject_type = 'run'"
BY_THEMSELVES = """state <> 'resolved' AND (blocking OR state = 'unread')
    AND (subject_type IS NULL
        OR subject_type NOT IN ('approval', 'escalation', 'mission_task', 'run', 'budget', 'work_pause'))
    AND NOT (kind = 'message' AND subject_type IS NOT DISTINCT FROM 'issue')"""
"""Items that need attention and whose subject is not listed in their place (resolvers/attention/attention)."""
HANDOVERS = "kind = 'message' AND state = 'read' AND starts_with(source_id, 'handover:')"
"""Items that keep hand overs (resolvers/attention/inbox/handovers.py)."""
LONGEST_ITEM_ID = LINE * 4
"""The longest `source_id`, with its prefix."""


PROPOSED_SKILL = "skillprop:"
"""The beginning of the `source_id` of a proposed skill: crew and file name follow (contract:
internal.skills.author).
"""


class InboxItem(TenantTable, Timestamps, table=True):
    """An item for one user, for a role and higher ones, or for everyone if neither is named. `subject_type` and
    `subject_id` name the row that it is about, if it is about one.

    `source_id` identifies the source within its kind. It may contain the id of a chat, which a client may have chosen;
    so may `id`, which is made of both (see `inbox_item_id`).
    """

    __tablename__ = "inbox_items"
    __table_args__ = (
        UniqueConstraint("workspace_id", "kind", "source_id"),
        Index("inbox_items_workspace_id_created_at_id_idx", "workspace_id", "created_at", "id"),
        Index(
            "inbox_items_active_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("state <> 'resolved'"),
        ),
        Index("inbox_items_state_idx", "workspace_id", "state", "created_at", "id"),
        Index("inbox_items_kind_idx", "workspace_id", "kind", "created_at", "id"),
        Index(
            "inbox_items_sender_id_idx",
            "workspace_id",
            "sender_id",
            "created_at",
            "id",
            postgresql_where=text("sender_id IS NOT NULL"),
        ),
        Index("inbox_items_target_user_id_idx", "target_user_id"),
        Index("inbox_items_handovers_idx", "workspace_id", "source_id", postgresql_where=text(HANDOVERS)),
        Index("inbox_items_failed_runs_idx", "workspace_id", "created_at", "id", postgresql_where=text(FAILED_RUNS)),
        Index(
            "inbox_items_by_themselves_idx",
            "workspace_id",
            "priority",
            "created_at",
            "id",
            postgresql_where=text(BY_THEMSELVES),
        ),
    )
    id: str = free_id(most=LONGEST_ITEM_ID)
    workspace_id: str = tenant_id()
    kind: InboxKind = enum_field(InboxKind)
    source_id: str = text_field(LINE * 3, holds=NOTHING)
    subject_type: InboxSubject | None = enum_field(InboxSubject, default=None)
    subject_id: str | None = text_field(ID, default=None, holds=NOTHING)
    target_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    target_role: Role | None = enum_field(Role, default=None)
    title: str = text_field(LINE * 3, holds=MENTIONS)
    body_md: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    sender_type: SenderType | None = enum_field(SenderType, default=None)
    sender_id: str | None = text_field(ID, default=None, holds=AUTHOR)
    sender_name: str | None = text_field(LINE, default=None, holds=WORDS)
    avatar_seed: str | None = text_field(LINE, default=None, holds=WORDS)
    avatar_style: str | None = text_field(LINE, default=None, holds=NOTHING)
    state: InboxState = enum_field(InboxState.unread)
    priority: InboxPriority = enum_field(InboxPriority.medium)
    blocking: bool = False
    payload: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    read_at: datetime | None = time_field(default=None)
    read_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    resolved_at: datetime | None = time_field(default=None)
    resolved_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    resolved_action: str | None = text_field(LINE, default=None, holds=NOTHING)


def inbox_item_id(kind: InboxKind, source_id: str) -> str:
    return f"ibx_{kind}_{source_id}"


INBOX_STATES = Machine(InboxItem, "state", {state: frozenset(InboxState) - {state} for state in InboxState})
"""contract: extras.states.Inbox"""
