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
        created_at
    """


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
    purge_escalations = mutation(escalation_ops.purge_escalations)
