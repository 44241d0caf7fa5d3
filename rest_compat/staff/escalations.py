"""REST: escalations of agents."""

from typing import Annotated

from models.staff.assignments import Escalation
from resolvers.staff import escalations
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.table import DELETE, GET, PATCH, POST, From, Wire


class EscalationJSON(Wire, of=Escalation):
    fields = """
        id type from_name from_slug reason context metadata peer_conversation_id status resolution action redirect_to
        resolved_by resolved_at created_at credential_id deadline_at answer_deadline_at agent_gave_up_at
        second_approver_required second_approver_by_workspace second_approver_by_tier security_level_label
    """
    absent = "security_level_label"
    resolution: Annotated[str | None, From("shown_resolution")]


class PendingEscalationsJSON(Wire, of=escalations.PendingEscalations):
    count: int


ESCALATION = "/api/v1/escalations/{escalationId}"
INTERNAL = "/api/v1/internal/escalations"

ROUTES = (
    GET("/api/v1/crews/{crewId}/escalations", escalations.list_escalations, list[EscalationJSON]),
    DELETE("/api/v1/crews/{crewId}/escalations", escalations.purge_escalations, escalations.EscalationsPurged),
    GET("/api/v1/escalations/pending-count", escalations.count_pending, PendingEscalationsJSON),
    POST("/api/v1/escalations/sweep-expired", escalations.sweep_escalations, escalations.EscalationsSwept),
    PATCH(f"{ESCALATION}/resolve", escalations.resolve_escalation, escalations.EscalationOutcome),
    POST(f"{ESCALATION}/cancel", escalations.cancel_escalation, escalations.EscalationWithdrawn, optional_body=True),
    POST(INTERNAL, escalations.raise_escalation, escalations.EscalationRaised, status=201, reads=workspace_in_body),
    GET(f"{INTERNAL}/{{escalationId}}/wait", escalations.wait_for_answer, escalations.EscalationAnswer),
)
