"""GraphQL: approvals."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.attention.approvals import Approval, ApprovalGate, ApprovalKind, ApprovalMode, ApprovalStatus
from resolvers.attention import approvals as approval_ops
from schema.bridge.fields import Edge, mutation, node, output, query
from schema.bridge.results import DeletedType


@node(Approval)
class ApprovalType:
    """A call of a tool that waits for consent. Absent ids and texts are empty."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: str
    crew: Edge | None
    agent_id: str
    agent: Edge | None
    mission_id: str
    requested_by: str
    kind: ApprovalKind
    reason: str
    tool: str | None
    payload: JSON | None
    status: ApprovalStatus
    decided_by: str
    decided_at: datetime | None
    comment: str
    timeout_at: datetime | None
    created_at: datetime


@node(ApprovalGate)
class ApprovalGateType:
    """Tool calls that need approval. Without crew and agent, it applies to all agents."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    pattern: str = strawberry.field(description="The name of a tool; * stands for anything.")
    mode: ApprovalMode
    crew_id: strawberry.ID | None
    crew: Edge | None
    agent_id: strawberry.ID | None
    agent: Edge | None
    created_at: datetime


@output(approval_ops.ApprovalDecided)
class ApprovalDecidedType:
    status: ApprovalStatus
    decided_by: strawberry.ID


@output(approval_ops.ApprovalCancelled)
class ApprovalCancelledType:
    status: str
    cancelled_by: strawberry.ID


@output(approval_ops.AutoTuningReset)
class AutoTuningResetType:
    tool: str
    rows_deleted: int
    workspace_id: strawberry.ID


@strawberry.type
class ApprovalQuery:
    approvals = query(approval_ops.list_approvals, ApprovalType)
    approval = query(approval_ops.get_approval, ApprovalType)
    approval_gates = query(approval_ops.list_gates, ApprovalGateType)


@strawberry.type
class ApprovalMutation:
    decide_approval = mutation(approval_ops.decide_approval, ApprovalDecidedType)
    cancel_approval = mutation(approval_ops.cancel_approval, ApprovalCancelledType)
    reset_auto_tuning = mutation(approval_ops.reset_auto_tuning, AutoTuningResetType)
    create_approval_gate = mutation(approval_ops.create_gate, ApprovalGateType)
    delete_approval_gate = mutation(approval_ops.delete_gate, DeletedType)
