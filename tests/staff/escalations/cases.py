"""Cases of escalations, for the tests that are made for every operation."""

from models.staff.assignments import Escalation, EscalationStatus
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def escalation(plot: Plot) -> Escalation:
    return Escalation(
        crew_id=plot["crew"].id,
        chat_id=plot["chat"].id,
        from_agent_id=plot["agent"].id,
        peer_conversation_id=plot["peer_conversation"].id,
        reason="Which harbour?",
        context="It is getting dark",
        data="{}",
        status=EscalationStatus.RESOLVED,
        resolution="The near one",
        redirect_to="lead",
        resolved_by=plot.owner.user_id,
        resolved_at=now(),
        **plot.here,
    )


@entity
def pending_escalation(plot: Plot) -> Escalation:
    return Escalation(
        crew_id=plot["crew"].id,
        chat_id=plot["chat"].id,
        from_agent_id=plot["agent"].id,
        reason="Reef the sails?",
        **plot.here,
    )


RECIPES = {
    "escalations.cancel": Recipe({"reason": "not needed"}, ids={"escalation_id": "pending_escalation"}),
    "escalations.look": Recipe(ids={"escalation_id": "escalation"}),
    "internal.escalations.wait": Recipe(ids={"escalation_id": "escalation"}),
    "escalations.list": Recipe({"status": "RESOLVED"}),
    "escalations.raise": Recipe({"type": "TEXT", "reason": "Which way?", "from_slug": "hand"}),
    "escalations.resolve": Recipe(
        {"resolution": "The near one", "action": "approve"}, ids={"escalation_id": "pending_escalation"}
    ),
}
