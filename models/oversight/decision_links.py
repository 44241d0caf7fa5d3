"""Decision links: the holder of a link answers one question, once."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from models.base import TenantTable, enum_field, stored_at, text_field, time_field
from models.bounds import ID, LINE
from models.expiry import Expires
from models.personal_data import HIDDEN, NOTHING


class DecisionKind(StrEnum):
    """The subject of the decision: a tool call, a held task of a mission, or a question that an agent asks."""

    approval = "approval"
    mission_task = "mission_task"
    escalation = "escalation"


class DecisionLink(TenantTable, table=True):
    """`user_id` is the member in whose name the link decides; only the hash of the token is stored.

    `subject_id` is the row to decide on, `source_id` the occasion: a task may be held again.
    """

    __tablename__ = "decision_links"
    __expires__: ClassVar = Expires("expires_at", timedelta(days=30))  # till then it says that it has expired
    __table_args__ = (
        UniqueConstraint("workspace_id", "channel_id", "source_id"),
        Index("decision_links_user_id_idx", "user_id"),
        Index("decision_links_expires_at_idx", "expires_at"),
    )
    channel_id: str = text_field(ID, holds=NOTHING)
    kind: DecisionKind = enum_field(DecisionKind)
    subject_id: str = text_field(ID, holds=NOTHING)
    source_id: str = text_field(LINE * 3, holds=NOTHING)
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    token_hash: str = text_field(LINE, unique=True, holds=HIDDEN)
    expires_at: datetime = time_field()
    used_at: datetime | None = time_field(default=None)
    created_at: datetime = stored_at()
