"""Cases of feedback, for the tests that are made for every operation."""

from models.staff.feedback import FeedbackSignal, MessageFeedback
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def message_feedback(plot: Plot) -> MessageFeedback:
    return MessageFeedback(
        user_id=plot.owner.user_id,
        message_id="turn-1",
        signal=FeedbackSignal.helpful,
        chat_id=plot["chat"].id,
        trace_id="trace-1",
        reason="To the point",
        **plot.here,
    )


FREE = frozenset({"message_id", "trace_id"})  # nothing says that there is one
OF_SIGNAL = {"message_id": "turn-1", "signal": "helpful"}
RECIPES = {
    "feedback.list": Recipe({"message_id": "turn-1"}, chosen=FREE),
    "feedback.create": Recipe(OF_SIGNAL | {"trace_id": "trace-1", "reason": "Still"}, chosen=FREE),
    "feedback.delete": Recipe(OF_SIGNAL, chosen=FREE),
}
PROSE = ("feedback.create",)
"""Everybody in some workspace may, wherever the chat of the example is: test_feedback says who."""
