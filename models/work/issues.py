"""The parts of an issue, which is itself a mission: labels, comments, relations, and its timeline."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field

from models.actors import ActorType
from models.base import Row, TenantRow, TenantTable, Timestamps, belongs_to, enum_field, stored_at, text_field
from models.bounds import CONFIG, ID, LINE
from models.personal_data import BY, NOTHING, WORDS, holding


class RelationType(StrEnum):
    """As seen from the source. A `blocked_by` is stored as `blocks` with its ends swapped."""

    blocks = "blocks"
    blocked_by = "blocked_by"
    relates_to = "relates_to"
    duplicate_of = "duplicate_of"


class ActivityAction(StrEnum):
    """An event of an issue."""

    status_changed = "status_changed"
    assignee_changed = "assignee_changed"
    priority_changed = "priority_changed"
    review_approved = "review_approved"
    review_changes_requested = "review_changes_requested"
    task_completed = "task_completed"
    task_failed = "task_failed"


class IssueLabel(TenantRow, table=True):
    """A label on an issue."""

    __tablename__ = "issue_labels"
    __table_args__ = (
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        belongs_to("label_id", "labels", ondelete="CASCADE"),
        Index("issue_labels_label_id_idx", "workspace_id", "label_id", "mission_id"),
    )
    workspace_id: str = Field(default="", foreign_key="workspaces.id", ondelete="CASCADE", primary_key=True)
    mission_id: str = Field(primary_key=True)
    label_id: str = Field(primary_key=True)


class IssueComment(TenantTable, Timestamps, table=True):
    __tablename__ = "issue_comments"
    __table_args__ = (
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        Index("issue_comments_mission_id_idx", "workspace_id", "mission_id", "created_at", "id"),
        Index("issue_comments_list_idx", "workspace_id", "created_at", "id"),
    )
    mission_id: str
    author_type: ActorType = enum_field(ActorType)
    author_id: str = text_field(ID, holds=BY)
    body: str = text_field(CONFIG, holds=WORDS)


class IssueRelation(TenantTable, table=True):
    """From one issue to another."""

    __tablename__ = "issue_relations"
    __table_args__ = (
        belongs_to("source_id", "missions", ondelete="CASCADE"),
        belongs_to("target_id", "missions", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "source_id", "target_id", "relation_type"),
        Index("issue_relations_target_id_idx", "workspace_id", "target_id"),
    )
    source_id: str
    target_id: str
    relation_type: RelationType = enum_field(RelationType)
    created_at: datetime = stored_at()


class IssueActivity(TenantTable, table=True):
    """A change of an issue: one row per change, never changed itself."""

    __tablename__ = "issue_activity"
    __table_args__ = (
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        Index("issue_activity_mission_id_idx", "workspace_id", "mission_id", "created_at", "id"),
    )
    mission_id: str
    actor_type: ActorType = enum_field(ActorType)
    actor_id: str = text_field(ID, holds=BY)
    action: ActivityAction = enum_field(ActivityAction)
    details: str | None = text_field(LINE * 5, default=None, holds=WORDS)
    created_at: datetime = stored_at("clock_timestamp()")


class IssueText(Row, table=True):
    """The grams by which the search of issues finds a mission: of its own texts, without `comment_id`, and of each
    of its comments. Triggers write it: models/sql/issue_texts.sql.

    `place` is the workspace. There is no row-level security, because it would keep the grams out of an index. A row
    only names a candidate, which is then read, and compared, under row-level security.
    """

    __tablename__ = "issue_texts"
    __table_args__ = (
        Index(
            "issue_texts_grams_idx",
            "grams",
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "512"},
        ),
    )
    place: str = text_field(ID, primary_key=True, holds=NOTHING)
    mission_id: str = text_field(ID, primary_key=True, holds=NOTHING)
    comment_id: str = text_field(ID, primary_key=True, holds=NOTHING)
    grams: list[int] = Field(
        default_factory=list, sa_column=Column(ARRAY(BigInteger), nullable=False, **holding(NOTHING))
    )
