"""Escalations: decisions that agents ask people for."""

from resolvers.kernel import Domain
from resolvers.staff.escalations.deciding import (
    EscalationOutcome,
    EscalationsSwept,
    EscalationWithdrawn,
    ResolveEscalation,
    cancel_escalation,
    resolve_escalation,
    sweep_escalations,
)
from resolvers.staff.escalations.graph import PendingEscalations
from resolvers.staff.escalations.listing import EscalationsPurged, count_pending, list_escalations, purge_escalations
from resolvers.staff.escalations.raising import EscalationRaised, raise_escalation
from resolvers.staff.escalations.waiting import EscalationAnswer, wait_for_answer

DOMAIN = Domain("escalations", scopes="crews")
