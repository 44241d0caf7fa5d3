"""Cases of activity, for the tests that are made for every operation."""

from models.staff.assignments import PeerConversation, PeerConversationStatus
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
