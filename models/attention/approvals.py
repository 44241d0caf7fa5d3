"""Tool calls that wait for a user's consent, and earlier decisions."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Index, text

from models.base import (
    TenantTable,
    belongs_to,
    enum_field,
    json_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import DESCRIPTION, ID, LINE, NOTES
from models.machines import Machine
from models.personal_data import AUTHOR, BY, MENTIONS, NOTHING, WORDS

DIGEST: Final = 64


class ApprovalKind(StrEnum):
    """Why the agent asks for approval."""

    tool_call = "tool_call"
    cost_threshold = "cost_threshold"
    destructive_op = "destructive_op"
    target_environment = "target_environment"
    custom = "custom"


ApprovalMode = StrEnum("ApprovalMode", {"sync": "sync", "async": "async"})  # no class: `async` is a keyword
ApprovalMode.__doc__ = "The mode of an approval gate: the call waits for the decision, or proceeds meanwhile."


class ApprovalStatus(StrEnum):
    """The state of an approval; `timeout`: no decision was made in time."""

    pending = "pending"
    approved = "approved"
    denied = "denied"
    timeout = "timeout"
    cancelled = "cancelled"


def approval_id() -> str:
    return f"ap_{secrets.token_hex(8)}"


class Approval(TenantTable, table=True):
    """A question that is answered once. Its subject may be deleted: ids are stored as texts.

    `arguments` is a digest of the tool's arguments, by which decisions are compared.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        Index("approvals_list_idx", "workspace_id", "created_at", "id"),
        Index("approvals_status_idx", "workspace_id", "status", "created_at", "id"),
        Index("approvals_crew_idx", "workspace_id", "crew_id", "created_at", "id"),
        Index("approvals_agent_idx", "workspace_id", "agent_id", "created_at", "id"),
        Index("approvals_run_idx", "workspace_id", "run_id", postgresql_where=text("run_id <> ''")),
        Index("approvals_due_idx", "timeout_at", postgresql_where=text("status = 'pending'")),
    )
    id: str = text_field(ID, default_factory=approval_id, primary_key=True)
    crew_id: str = text_field(ID, default="", holds=NOTHING)
    agent_id: str = text_field(ID, default="", holds=NOTHING)
    mission_id: str = text_field(ID, default="", holds=NOTHING)
    run_id: str = text_field(ID, default="", holds=NOTHING)
    requested_by: str = text_field(ID, default="", holds=AUTHOR)
    kind: ApprovalKind = enum_field(ApprovalKind)
    reason: str = text_field(DESCRIPTION, holds=MENTIONS)
    tool: str | None = text_field(LINE, default=None, holds=NOTHING)
    arguments: str | None = text_field(DIGEST, default=None, holds=NOTHING)
    mode: ApprovalMode = enum_field(ApprovalMode.sync)
    payload: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    status: ApprovalStatus = enum_field(ApprovalStatus.pending)
    decided_by: str = text_field(ID, default="", holds=BY)
    decided_at: datetime | None = time_field(default=None)
    comment: str = text_field(DESCRIPTION, default="", holds=WORDS)
    timeout_at: datetime | None = time_field(default=None)
    created_at: datetime = stored_at()


class ApprovalGate(TenantTable, table=True):
    """An approval gate: tool calls of all agents, of a crew's agents, or of one agent, that need consent."""

    __tablename__ = "approval_gates"
    __table_args__ = (
        tenant_key(),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("approval_gates_list_idx", "workspace_id", "created_at", "id"),
        Index("approval_gates_crew_id_idx", "crew_id"),
        Index("approval_gates_agent_id_idx", "agent_id"),
    )
    pattern: str = text_field(LINE, holds=MENTIONS)
    mode: ApprovalMode = enum_field(ApprovalMode.sync)
    crew_id: str | None = None
    agent_id: str | None = None
    created_at: datetime = stored_at()


class ApprovalOutcome(TenantTable, table=True):
    """A user's decision on a tool call: later calls are judged by these."""

    __tablename__ = "approval_outcomes"
    __table_args__ = (Index("approval_outcomes_tool_idx", "workspace_id", "tool", "arguments", "created_at", "id"),)
    tool: str = text_field(LINE, holds=NOTHING)
    arguments: str | None = text_field(DIGEST, default=None, holds=NOTHING)
    approved: bool
    created_at: datetime = stored_at()


_S = ApprovalStatus
APPROVAL_STATES = Machine(
    Approval,
    "status",
    {_S.pending: frozenset(_S) - {_S.pending}, **{state: frozenset() for state in _S if state is not _S.pending}},
    stamps={"decided_at": frozenset({_S.approved, _S.denied, _S.cancelled, _S.timeout})},
)
"""contract: extras.states.Approval"""
