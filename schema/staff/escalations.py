"""GraphQL: escalations of agents."""

import strawberry

from models.staff.assignments import Escalation
from resolvers.staff import escalations as escalation_ops
from schema.bridge.fields import mutation, node, query


@node(Escalation)
class EscalationNode:
    """A question of an agent to users. A provided credential is not included."""

    fields = """
        id workspace_id crew_id crew chat_id from_agent_id from_agent from_name from_slug peer_conversation_id
        credential_id type reason context metadata status resolution action redirect_to resolved_by resolved_at
        created_at deadline_at answer_deadline_at agent_gave_up_at second_approver_required
        second_approver_by_workspace second_approver_by_tier security_level_label
    """
    deadline_at = strawberry.field(description="The time until which the agent waits; null if no agent waits.")
    answer_deadline_at = strawberry.field(
        description="The time until which users can answer; null if the escalation does not expire."
    )
    agent_gave_up_at = strawberry.field(description="The time at which the agent continued without an answer.")
    second_approver_required = strawberry.field(description="True if the user who made the asking agent cannot decide.")
    security_level_label = strawberry.field(description="The security level of the credential; null without one.")


@node(escalation_ops.PendingEscalations)
class PendingEscalationsType:
    """Open escalations of existing crews."""

    count: int


@strawberry.type
class EscalationQuery:
    escalations = query(escalation_ops.list_escalations, EscalationNode)
    pending_escalations = query(escalation_ops.count_pending, PendingEscalationsType)


@strawberry.type
class EscalationMutation:
    resolve_escalation = mutation(escalation_ops.resolve_escalation)
    cancel_escalation = mutation(escalation_ops.cancel_escalation)
    sweep_escalations = mutation(escalation_ops.sweep_escalations)
    purge_escalations = mutation(escalation_ops.purge_escalations)
