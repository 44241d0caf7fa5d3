"""GraphQL: feedback on answers."""

import strawberry

from models.staff.feedback import MessageFeedback
from resolvers.staff import feedback as feedback_ops
from schema.bridge.fields import mutation, node, query


@node(MessageFeedback)
class MessageFeedbackType:
    """The caller's rating of an answer. `messageId` is the id of a message or a turn, as sent."""

    fields = "id workspace_id message_id chat_id trace_id signal reason user_id created_at"
    message_id: str
    trace_id: str | None


@strawberry.type
class FeedbackQuery:
    feedback = query(feedback_ops.list_feedback, MessageFeedbackType)


@strawberry.type
class FeedbackMutation:
    create_feedback = mutation(feedback_ops.create_feedback, MessageFeedbackType)
    delete_feedback = mutation(feedback_ops.delete_feedback)
