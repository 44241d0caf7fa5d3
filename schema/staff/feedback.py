"""GraphQL: feedback on answers."""

from datetime import datetime

import strawberry

from models.staff.feedback import FeedbackSignal, MessageFeedback
from resolvers.staff import feedback as feedback_ops
from schema.bridge.fields import mutation, node, query
from schema.bridge.results import SuccessType


@node(MessageFeedback)
class MessageFeedbackType:
    """What the caller thinks of an answer. `messageId` is the id of a message or of a turn, as it was sent."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    message_id: str
    chat_id: strawberry.ID | None
    trace_id: str | None
    signal: FeedbackSignal
    reason: str | None
    user_id: strawberry.ID | None
    created_at: datetime


@strawberry.type
class FeedbackQuery:
    feedback = query(feedback_ops.list_feedback, MessageFeedbackType)


@strawberry.type
class FeedbackMutation:
    create_feedback = mutation(feedback_ops.create_feedback, MessageFeedbackType)
    delete_feedback = mutation(feedback_ops.delete_feedback, SuccessType)
