"""REST: feedback on answers."""

from typing import Annotated

from models.staff.feedback import MessageFeedback
from resolvers.staff import feedback
from rest_compat.http.envelopes import Envelope
from rest_compat.http.table import DELETE, GET, POST, Absent, Wire

Optional = Annotated[str | None, Absent()]


class FeedbackJSON(Wire, of=MessageFeedback):
    fields = "id message_id chat_id trace_id signal reason user_id created_at"
    absent = "chat_id trace_id reason user_id"


class FeedbackListJSON(Envelope):
    feedback: list[FeedbackJSON]


class FeedbackGivenJSON(Wire, of=MessageFeedback):
    id: str


FEEDBACK = "/api/v1/feedback"
ROUTES = (
    GET(FEEDBACK, feedback.list_feedback, FeedbackListJSON),
    POST(FEEDBACK, feedback.create_feedback, FeedbackGivenJSON, status=201, body_limit=16 * 1024),
    DELETE(FEEDBACK, feedback.delete_feedback, status=204),
)
