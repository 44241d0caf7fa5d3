"""Feedback on answers."""

from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import OwnedTable, belongs_to, enum_field, stored_at, text_field
from models.personal_data import NOTHING, WORDS

LONGEST_ID: Final = 256
"""The length of ids that clients choose: of a message or a turn, and a trace."""
LONGEST_REASON: Final = 4096


class FeedbackSignal(StrEnum):
    """A user's rating of an answer, or an action taken on it."""

    helpful = "helpful"
    not_helpful = "not_helpful"
    inaccurate = "inaccurate"
    unsafe = "unsafe"
    edit = "edit"
    regenerate = "regenerate"


class MessageFeedback(OwnedTable, table=True):
    """One signal per message and person. The message need not exist.

    The feedback of a deleted account stays, without an author.
    """

    __tablename__ = "message_feedback"
    __table_args__ = (
        UniqueConstraint("user_id", "message_id", "signal"),
        belongs_to("chat_id", "chats", ondelete="CASCADE"),
        Index("message_feedback_chat_id_idx", "workspace_id", "chat_id"),
        Index(
            "message_feedback_trace_id_idx",
            "user_id",
            "trace_id",
            "created_at",
            postgresql_where=text("trace_id IS NOT NULL"),
        ),
    )
    user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")  # type: ignore[assignment]
    message_id: str = text_field(LONGEST_ID, holds=NOTHING)
    signal: FeedbackSignal = enum_field(FeedbackSignal)
    chat_id: str | None = None
    trace_id: str | None = text_field(LONGEST_ID, default=None, holds=NOTHING)
    reason: str | None = text_field(LONGEST_REASON, default=None, holds=WORDS)
    created_at: datetime = stored_at()
