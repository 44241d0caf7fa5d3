"""REST: escalations of agents."""

from typing import Annotated

from models.staff.assignments import Escalation, EscalationAction, EscalationStatus, EscalationType
from resolvers.staff import escalations
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.table import DELETE, GET, PATCH, POST, From, Wire


class EscalationJSON(Wire, of=Escalation):
    id: str
    type: EscalationType
    from_name: str
    from_slug: str
    reason: str
    context: str | None
    metadata: str | None
    peer_conversation_id: str | None
    status: EscalationStatus
    resolution: Annotated[str | None, From("shown_resolution")]
    action: EscalationAction
    redirect_to: str | None
    resolved_by: str | None
    resolved_at: str | None
    created_at: str
    credential_id: str | None


class PendingEscalationsJSON(Wire, of=escalations.PendingEscalations):
    count: int


ROUTES = (
    GET("/api/v1/crews/{crewId}/escalations", escalations.list_escalations, list[EscalationJSON]),
    DELETE("/api/v1/crews/{crewId}/escalations", escalations.purge_escalations, escalations.EscalationsPurged),
    GET("/api/v1/escalations/pending-count", escalations.count_pending, PendingEscalationsJSON),
    PATCH("/api/v1/escalations/{escalationId}/resolve", escalations.resolve_escalation, escalations.EscalationOutcome),
    POST(
        "/api/v1/internal/escalations",
        escalations.raise_escalation,
        escalations.EscalationRaised,
        status=201,
        reads=workspace_in_body,
    ),
)
