"""The parts of an issue, which is itself a mission: labels, comments, relations, files, and its timeline."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Column, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field

from models.actors import ActorType
from models.base import (
    Row,
    TenantRow,
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    stored_at,
    text_field,
    time_field,
)
from models.bounds import CONFIG, FILE_NAME, ID, LABEL, LINE, URL
from models.personal_data import BY, MENTIONS, NOTHING, WORDS, holding

OWNER = 1_000
"""The groups of a project, which a unique index has."""


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
    attachment_added = "attachment_added"
    attachment_removed = "attachment_removed"
    code_link_added = "code_link_added"
    code_link_removed = "code_link_removed"


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


class IssueAttachment(TenantTable, table=True):
    """A file of an issue. Its bytes are in `issue_files/<sha256>/` of the workspace, once for all issues that have
    them.

    Without an uploader, the account is gone, or a program of the workspace sent it for no agent.
    """

    __tablename__ = "issue_attachments"
    __table_args__ = (
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        belongs_to("uploaded_by_agent_id", "agents"),
        UniqueConstraint("workspace_id", "mission_id", "sha256", "filename", name="issue_attachments_of_issue_key"),
        Index("issue_attachments_list_idx", "workspace_id", "mission_id", "created_at", "id"),
        Index("issue_attachments_sha256_idx", "workspace_id", "sha256"),
        Index("issue_attachments_agent_id_idx", "workspace_id", "uploaded_by_agent_id"),
        Index("issue_attachments_uploaded_by_idx", "uploaded_by_user_id", "workspace_id"),
    )
    mission_id: str
    filename: str = text_field(FILE_NAME, holds=NOTHING)
    content_type: str = text_field(LINE, holds=NOTHING)
    size_bytes: int = Field(sa_type=BigInteger)
    sha256: str = text_field(LINE, holds=NOTHING)
    uploaded_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    uploaded_by_agent_id: str | None = None
    created_at: datetime = stored_at("clock_timestamp()")


class GitProvider(StrEnum):
    """The kind of a git host."""

    GITHUB = "GITHUB"
    GITLAB = "GITLAB"


class PullState(StrEnum):
    """The state of a pull request."""

    OPEN = "OPEN"
    DRAFT = "DRAFT"
    MERGED = "MERGED"
    CLOSED = "CLOSED"


class CodeLinkKind(StrEnum):
    """The kind of linked code. A merge request of GitLab is a pull request, too."""

    pull_request = "pull_request"


class IssueCodeLink(TenantTable, Timestamps, table=True):
    """A pull request that belongs to an issue, and its state when its host was last asked. `remote_...` are the times
    of the host, as it writes them.
    """

    __tablename__ = "issue_code_links"
    __table_args__ = (
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        belongs_to("credential_id", "credentials"),
        UniqueConstraint(
            "workspace_id", "mission_id", "provider", "host", "owner", "repo", "number",
            name="issue_code_links_of_issue_key",
        ),
        Index("issue_code_links_list_idx", "workspace_id", "mission_id", "created_at", "id"),
        Index("issue_code_links_credential_id_idx", "workspace_id", "credential_id"),
    )  # fmt: skip
    mission_id: str
    provider: GitProvider = enum_field(GitProvider)
    host: str = text_field(LINE * 2, holds=NOTHING)
    owner: str = text_field(OWNER, holds=NOTHING)
    repo: str = text_field(LINE, holds=NOTHING)
    number: int
    kind: CodeLinkKind = enum_field(CodeLinkKind.pull_request)
    url: str = text_field(URL, holds=NOTHING)
    title: str | None = text_field(LABEL, default=None, holds=MENTIONS)
    state: PullState | None = enum_field(PullState, default=None)
    author: str | None = text_field(LINE, default=None, holds=MENTIONS)
    source_branch: str | None = text_field(LINE * 2, default=None, holds=MENTIONS)
    target_branch: str | None = text_field(LINE * 2, default=None, holds=MENTIONS)
    remote_created_at: str | None = text_field(LINE, default=None, holds=NOTHING)
    remote_updated_at: str | None = text_field(LINE, default=None, holds=NOTHING)
    remote_merged_at: str | None = text_field(LINE, default=None, holds=NOTHING)
    remote_closed_at: str | None = text_field(LINE, default=None, holds=NOTHING)
    credential_id: str | None = None
    last_synced_at: datetime | None = time_field(default=None)
    last_sync_error: str | None = text_field(LINE * 2, default=None, holds=NOTHING)


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
