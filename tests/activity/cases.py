"""Cases of activity, for the tests that are made for every operation."""

from models.assignments import Escalation, EscalationStatus, PeerConversation, PeerConversationStatus
from tests.generation.entities import Plot, entity
from tests.world import now


@entity
def peer_conversation(plot: Plot) -> PeerConversation:
    return PeerConversation(
        chat_id=plot["chat"].id,
        from_agent_id=plot["lead"].id,
        to_agent_id=plot["agent"].id,
        question="How deep is it?",
        response="Two fathoms",
        error_message="None",
        status=PeerConversationStatus.COMPLETED,
        duration_ms=1200,
        finished_at=now(),
        **plot.here,
    )


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
