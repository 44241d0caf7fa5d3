"""GraphQL: approvals."""

import strawberry

from models.attention.approvals import Approval, ApprovalGate
from resolvers.attention import approvals as approval_ops
from schema.bridge.fields import acts, mutation, node, output, query

output(approval_ops.ApprovalDecided, fields={"decided_by": strawberry.ID})
output(approval_ops.ApprovalCancelled, fields={"cancelled_by": strawberry.ID})


@node(Approval)
class ApprovalType:
    """A tool call that waits for consent. Absent ids and texts are empty."""

    fields = """
        id workspace_id crew_id crew agent_id agent mission_id run_id run chat requested_by kind mode reason tool
        payload status decided_by decided_at comment timeout_at created_at viewer_can
    """
    viewer_can = acts()
    crew_id: str
    agent_id: str
    mission_id: str
    run_id: str
    run = strawberry.field(description="The run whose call waits.")
    chat = strawberry.field(description="The chat of the run; null without one, or if the caller cannot read it.")
    mode = strawberry.field(description="`async`: the call proceeds meanwhile.")


@node(ApprovalGate)
class ApprovalGateType:
    """A rule that requires approval for tool calls. Without crew and agent, it applies to all agents."""

    fields = "id workspace_id pattern mode crew_id crew agent_id agent created_at"
    pattern = strawberry.field(description="The name of a tool; * matches any text.")


@strawberry.type
class ApprovalQuery:
    approvals = query(approval_ops.list_approvals, ApprovalType)
    approval = query(approval_ops.get_approval, ApprovalType)
    approval_gates = query(approval_ops.list_gates, ApprovalGateType)


@strawberry.type
class ApprovalMutation:
    decide_approval = mutation(approval_ops.decide_approval)
    answer_approval = mutation(approval_ops.answer_approval, ApprovalType)
    cancel_approval = mutation(approval_ops.cancel_approval)
    reset_auto_tuning = mutation(approval_ops.reset_auto_tuning)
    create_approval_gate = mutation(approval_ops.create_gate, ApprovalGateType)
    delete_approval_gate = mutation(approval_ops.delete_gate)
