"""GraphQL: escalations of agents."""

from datetime import datetime

import strawberry

from models.staff.assignments import Escalation, EscalationAction, EscalationStatus, EscalationType
from resolvers.staff import escalations as escalation_ops
from schema.bridge.fields import Edge, mutation, node, output, query


@node(Escalation)
class EscalationNode:
    """A decision that an agent asks people for. A credential that was handed over is not shown."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    crew: Edge | None
    chat_id: strawberry.ID | None
    from_agent_id: strawberry.ID
    from_agent: Edge | None
    from_name: str
    from_slug: str
    peer_conversation_id: strawberry.ID | None
    credential_id: strawberry.ID | None
    type: EscalationType
    reason: str
    context: str | None
    metadata: str | None
    status: EscalationStatus
    resolution: str | None
    action: EscalationAction
    redirect_to: str | None
    resolved_by: str | None
    resolved_at: datetime | None
    created_at: datetime


@node(escalation_ops.PendingEscalations)
class PendingEscalationsType:
    """Open escalations of existing crews."""

    count: int


@output(escalation_ops.EscalationOutcome)
class EscalationOutcomeType:
    id: strawberry.ID
    status: EscalationStatus
    action: EscalationAction


@output(escalation_ops.EscalationsPurged)
class EscalationsPurgedType:
    deleted: int


@strawberry.type
class EscalationQuery:
    escalations = query(escalation_ops.list_escalations, EscalationNode)
    pending_escalations = query(escalation_ops.count_pending, PendingEscalationsType)


@strawberry.type
class EscalationMutation:
    resolve_escalation = mutation(escalation_ops.resolve_escalation, EscalationOutcomeType)
    purge_escalations = mutation(escalation_ops.purge_escalations, EscalationsPurgedType)
