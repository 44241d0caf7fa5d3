"""Missions, their tasks, and the assignments that carry work to agents."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from models.actors import ActorType
from models.base import (
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    json_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import CONFIG, DESCRIPTION, ERROR, ID, LINE, NAME, NOTES, URL
from models.machines import Machine
from models.personal_data import AUTHOR, BY, MENTIONS, NOTHING, WORDS


class MissionType(StrEnum):
    """An issue is a mission too: it is planned, started and reviewed like one."""

    orchestration = "orchestration"
    issue = "issue"


class MissionStatus(StrEnum):
    """States of missions, including states that only issues have."""

    PLANNING = "PLANNING"
    IN_PROGRESS = "IN_PROGRESS"
    REVIEW = "REVIEW"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RESUMING = "RESUMING"
    BACKLOG = "BACKLOG"
    TODO = "TODO"
    DONE = "DONE"
    DUPLICATE = "DUPLICATE"


class IssueStatus(StrEnum):
    """States of a mission that an issue can have (contract: issues.IssueStatus)."""

    BACKLOG = "BACKLOG"
    TODO = "TODO"
    IN_PROGRESS = "IN_PROGRESS"
    REVIEW = "REVIEW"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    DUPLICATE = "DUPLICATE"


class TaskStatus(StrEnum):
    """The state of a mission's task: BLOCKED waits for other tasks, AWAITING_APPROVAL for users."""

    PENDING = "PENDING"
    BLOCKED = "BLOCKED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    CANCELLED = "CANCELLED"


class ApprovalDecision(StrEnum):
    """The decision on a task that waits for approval."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


class AssignmentStatus(StrEnum):
    """QUEUED waits for a free run slot of the crew."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"


class AuthoredVia(StrEnum):
    """The origin of an issue."""

    agent_tool_call = "agent_tool_call"
    user_api = "user_api"
    imported = "imported"
    seed = "seed"
    routine = "routine"
    recurring = "recurring"


RANKED_LAST = """
    '00' || ((EXTRACT(epoch FROM clock_timestamp()) * 1000000)::bigint)::text
    || lpad((floor(random() * 1000000)::integer)::text, 6, '0') || '5'
"""
"""The rank of a new row: behind all others, by its time in microseconds. See resolvers/work/issues/ranks.py."""


URGENCY = (
    "CASE WHEN priority = 'urgent' THEN 4 WHEN priority = 'high' THEN 3 WHEN priority = 'medium' THEN 2"
    " WHEN priority = 'low' THEN 1 ELSE 0 END"
)
DUE = "CASE WHEN due_date IS NULL THEN 'none' ELSE due_date END"
"""Keys of orders that are never null, so that an index begins at a cursor."""


class Mission(TenantTable, Versioned, Timestamps, table=True):
    """A goal that a crew's lead pursues. The chat with the same id groups its assignments. `started_at`: the last time
    that work on it began. `paused_at`: no task of it begins until a user continues it. `paused_ms`: the length of
    pauses since `started_at`, which the deadline does not count.

    An issue is a mission with a number and an identifier, which is unique in the workspace. Its assignee is an agent, a
    user, or any text.
    """

    __kinds__: ClassVar = frozenset({"issue"})
    __bookkeeping__: ClassVar = frozenset({"rank"})
    __tablename__ = "missions"
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("trace_id"),
        belongs_to("crew_id", "crews"),
        belongs_to("lead_agent_id", "agents"),
        Index("missions_workspace_id_created_at_id_idx", "workspace_id", "created_at", "id"),
        Index("missions_workspace_id_updated_at_id_idx", "workspace_id", "updated_at", "id"),
        Index("missions_workspace_id_crew_id_created_at_id_idx", "workspace_id", "crew_id", "created_at", "id"),
        Index("missions_lead_agent_id_list_idx", "workspace_id", "lead_agent_id", "created_at", "id"),
        Index("missions_status_list_idx", "workspace_id", "status", "created_at", "id"),
        Index("missions_crew_id_status_list_idx", "workspace_id", "crew_id", "status", "created_at", "id"),
        Index("missions_review_idx", "workspace_id", "updated_at", "id", postgresql_where=text("status = 'REVIEW'")),
        Index("missions_paused_idx", "workspace_id", "paused_at", "id", postgresql_where=text("paused_at IS NOT NULL")),
        Index("missions_workspace_id_completed_at_idx", "workspace_id", "completed_at"),
        belongs_to("project_id", "projects", ondelete="SET NULL (project_id)"),
        belongs_to("milestone_id", "milestones", ondelete="SET NULL (milestone_id)"),
        belongs_to("parent_issue_id", "missions", ondelete="SET NULL (parent_issue_id)", deferrable=True),
        UniqueConstraint("workspace_id", "identifier"),
        CheckConstraint("mission_type <> 'issue' OR (number IS NOT NULL AND identifier IS NOT NULL)", name="issue"),
        *[
            Index(f"missions_by_{key}_idx", "workspace_id", "mission_type", key, "id")
            for key in ("created_at", "updated_at")
        ],
        *[
            Index(f"missions_by_{key}_idx", "workspace_id", "mission_type", key, "created_at", "id")
            for key in ("priority", "sort_order")
        ],
        Index("missions_by_status_idx", "workspace_id", "mission_type", "status", "created_at", "id"),
        Index("missions_by_urgency_idx", "workspace_id", "mission_type", text(f"({URGENCY})"), "created_at", "id"),
        Index("missions_by_due_date_idx", "workspace_id", "mission_type", text(f"({DUE})"), "created_at", "id"),
        Index("missions_by_rank_idx", "workspace_id", "mission_type", "rank", "id"),
        Index("missions_by_status_rank_idx", "workspace_id", "mission_type", "status", "rank", "id"),
        Index("missions_crew_id_status_rank_idx", "workspace_id", "crew_id", "status", "rank", "id"),
        Index(
            "missions_assignee_id_rank_idx",
            "workspace_id",
            "assignee_id",
            "rank",
            "id",
            postgresql_where=text("assignee_id IS NOT NULL"),
        ),
        *[
            Index(
                f"missions_{key}_idx",
                "workspace_id",
                key,
                "created_at",
                "id",
                postgresql_where=text(f"{key} IS NOT NULL"),
            )
            for key in ("project_id", "assignee_id", "parent_issue_id", "milestone_id", "created_by_id")
        ],
    )
    crew_id: str
    lead_agent_id: str
    number: int | None = None
    identifier: str | None = text_field(LINE * 2, default=None, holds=NOTHING)
    project_id: str | None = None
    milestone_id: str | None = None
    parent_issue_id: str | None = None
    priority: str = text_field(LINE, default="none", holds=NOTHING)
    assignee_type: str | None = text_field(LINE, default=None, holds=NOTHING)
    assignee_id: str | None = text_field(ID, default=None, holds=BY)
    due_date: str | None = text_field(NAME, default=None, holds=NOTHING)
    estimate: int | None = None
    sort_order: float = 0
    rank: str = text_field(
        LINE * 2,
        default=None,
        nullable=False,
        holds=NOTHING,
        collation="C",
        sa_column_kwargs={"server_default": text(RANKED_LAST)},
    )
    routine_inputs: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    created_by_type: ActorType | None = enum_field(ActorType, default=None)
    created_by_id: str | None = text_field(ID, default=None, holds=AUTHOR)
    authored_via: AuthoredVia | None = enum_field(AuthoredVia, default=None)
    mission_type: MissionType = enum_field(MissionType.orchestration)
    trace_id: str = text_field(ID, holds=NOTHING)
    title: str = text_field(LINE * 3, holds=MENTIONS)
    description: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    status: MissionStatus = enum_field(MissionStatus.PLANNING)
    plan: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    workflow_template: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    total_token_count: int | None = Field(default=None, sa_type=BigInteger)
    total_estimated_cost: float | None = None
    started_at: datetime | None = time_field(default=None)
    completed_at: datetime | None = time_field(default=None)
    paused_at: datetime | None = time_field(default=None)
    paused_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    paused_ms: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})


class Assignment(TenantTable, Timestamps, table=True):
    """One piece of work from one agent to another, in a chat. `handoff` is the agent's summary of its result for the
    next agent: `summary`, `confidence` and `artifacts`.
    """

    __tablename__ = "assignments"
    __table_args__ = (
        tenant_key(),
        belongs_to("chat_id", "chats"),
        belongs_to("assigned_by_id", "agents"),
        belongs_to("assigned_to_id", "agents"),
        Index("assignments_workspace_id_chat_id_idx", "workspace_id", "chat_id"),
        Index("assignments_list_idx", "workspace_id", "created_at", "id"),
        *[
            Index(f"assignments_{end}_idx", "workspace_id", end, "created_at", "id")
            for end in ("assigned_by_id", "assigned_to_id")
        ],
        Index("assignments_running_idx", "workspace_id", "assigned_to_id", postgresql_where=text("status = 'RUNNING'")),
        Index("assignments_queued_idx", "workspace_id", "created_at", postgresql_where=text("status = 'QUEUED'")),
    )
    chat_id: str | None = None
    assigned_by_id: str
    assigned_to_id: str
    task: str = text_field(CONFIG, holds=MENTIONS)
    restricted: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})  # as its giver is
    status: AssignmentStatus = enum_field(AssignmentStatus.PENDING)
    result_summary: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    error_message: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    handoff: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    started_at: datetime | None = time_field(default=None)
    finished_at: datetime | None = time_field(default=None)


class MissionTask(TenantTable, Versioned, Timestamps, table=True):
    """A node of a mission's task graph. `depends_on` lists ids of tasks of the same mission; costs are US dollars,
    tokens are input and output.
    """

    __tablename__ = "mission_tasks"
    __table_args__ = (
        tenant_key(),
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        belongs_to("assigned_agent_id", "agents"),
        belongs_to("assignment_id", "assignments"),
        Index(
            "mission_tasks_workspace_id_mission_id_task_order_id_idx", "workspace_id", "mission_id", "task_order", "id"
        ),
        Index(
            "mission_tasks_assigned_agent_id_list_idx",
            "workspace_id",
            "assigned_agent_id",
            "created_at",
            "id",
            postgresql_where=text("assigned_agent_id IS NOT NULL"),
        ),
        Index(
            "mission_tasks_workspace_id_assignment_id_key",
            "workspace_id",
            "assignment_id",
            unique=True,
            postgresql_where=text("assignment_id IS NOT NULL"),
        ),
        Index("mission_tasks_workspace_id_completed_at_idx", "workspace_id", "completed_at"),
        Index(
            "mission_tasks_held_idx",
            "workspace_id",
            "updated_at",
            "id",
            postgresql_where=text("status = 'AWAITING_APPROVAL'"),
        ),
        Index("mission_tasks_failed_idx", "workspace_id", "updated_at", postgresql_where=text("status = 'FAILED'")),
    )
    mission_id: str
    assigned_agent_id: str | None = None
    assignment_id: str | None = None
    title: str = text_field(LINE * 3, holds=MENTIONS)
    description: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    status: TaskStatus = enum_field(TaskStatus.PENDING)
    task_order: int = 0
    depends_on: list[str] = json_field(NOTES, default_factory=list, holds=NOTHING)
    iteration: int | None = 1
    max_iterations: int | None = None
    result_summary: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    output_path: str | None = text_field(URL, default=None, holds=NOTHING)
    error_message: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    token_budget: int | None = Field(default=None, sa_type=BigInteger)
    token_count: int | None = Field(default=None, sa_type=BigInteger)
    estimated_cost: float | None = None
    started_at: datetime | None = time_field(default=None)
    completed_at: datetime | None = time_field(default=None)
    duration_ms: int | None = Field(default=None, sa_type=BigInteger)
    confidence: float | None = None
    needs_review: bool = False
    handoff_context: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    evaluation_status: str | None = text_field(LINE, default=None, holds=NOTHING)
    evaluation_notes: str | None = text_field(DESCRIPTION, default=None, holds=WORDS)
    approval_required: bool = False
    approval_status: ApprovalDecision | None = enum_field(ApprovalDecision, default=None)
    approved_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    approved_at: datetime | None = time_field(default=None)


def new_checkpoint_id() -> str:
    """`cp_<16 hex>` (contract: missions.Checkpoint)."""
    return f"cp_{secrets.token_hex(8)}"


class Checkpoint(TenantTable, table=True):
    """A snapshot of a mission: its newest journal entry and its open work.

    `state` has `agent_memory`, `pending_tasks` and `open_assignments`.
    """

    __tablename__ = "checkpoints"
    __table_args__ = (
        tenant_key(),
        belongs_to("crew_id", "crews"),
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        belongs_to("fork_of", "checkpoints", ondelete="SET NULL (fork_of)", deferrable=True),
        Index("checkpoints_list_idx", "workspace_id", "mission_id", "created_at", "id"),
        Index("checkpoints_fork_of_idx", "workspace_id", "fork_of", postgresql_where=text("fork_of IS NOT NULL")),
    )
    id: str = text_field(ID, default_factory=new_checkpoint_id, primary_key=True)
    crew_id: str
    mission_id: str
    label: str | None = text_field(LINE, default=None, holds=WORDS)
    journal_cursor: str = text_field(NAME, holds=NOTHING)
    state: dict[str, Any] = json_field(NOTES, holds=NOTHING)
    fork_of: str | None = None
    created_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    created_at: datetime = stored_at("clock_timestamp()")


_S = MissionStatus
_ENDS = frozenset({_S.DONE, _S.CANCELLED, _S.DUPLICATE})
ISSUE_STATES = Machine(
    Mission,
    "status",
    {
        _S.BACKLOG: frozenset({_S.TODO, _S.IN_PROGRESS, _S.CANCELLED, _S.DUPLICATE}),
        _S.TODO: frozenset({_S.IN_PROGRESS, _S.BACKLOG, _S.CANCELLED, _S.DUPLICATE}),
        _S.IN_PROGRESS: frozenset({_S.REVIEW, _S.DONE, _S.FAILED, _S.CANCELLED, _S.DUPLICATE, _S.TODO}),
        _S.REVIEW: frozenset({_S.DONE, _S.TODO, _S.IN_PROGRESS, _S.FAILED, _S.CANCELLED, _S.DUPLICATE}),
        _S.DONE: frozenset({_S.BACKLOG}),
        _S.FAILED: frozenset({_S.BACKLOG, _S.TODO, _S.IN_PROGRESS}),
        _S.CANCELLED: frozenset({_S.BACKLOG, _S.TODO}),
        _S.DUPLICATE: frozenset({_S.BACKLOG, _S.TODO}),
    },
    stamps={"completed_at": _ENDS},
    called="Issue",
)
"""The states of missions that are issues (contract: issues.states). DUPLICATE ends an issue as CANCELLED does."""
_UNDER_WAY = frozenset({_S.BACKLOG, _S.TODO, _S.IN_PROGRESS, _S.REVIEW})
ISSUE_BOARD = Machine(
    Mission,
    "status",
    {status: ISSUE_STATES.beyond(status, _UNDER_WAY) for status in ISSUE_STATES.moves},
    stamps=ISSUE_STATES.stamps,
    called="Issue",
)
"""The states that an issue reaches in one step on a board: those that it reaches stage by stage in ISSUE_STATES,
without an end in between.
"""
MISSION_STATES = Machine(
    Mission,
    "status",
    {
        _S.PLANNING: frozenset({_S.IN_PROGRESS, _S.CANCELLED}),
        _S.IN_PROGRESS: frozenset({_S.REVIEW, _S.FAILED, _S.CANCELLED}),
        _S.REVIEW: frozenset({_S.COMPLETED, _S.IN_PROGRESS, _S.FAILED, _S.CANCELLED}),
        _S.BACKLOG: frozenset({_S.TODO, _S.IN_PROGRESS, _S.CANCELLED}),
        _S.TODO: frozenset({_S.BACKLOG, _S.IN_PROGRESS, _S.CANCELLED}),
        _S.DONE: frozenset({_S.BACKLOG}),
        _S.FAILED: frozenset({_S.BACKLOG, _S.TODO, _S.IN_PROGRESS}),
        _S.COMPLETED: frozenset(),
        _S.CANCELLED: frozenset(),
    },
    stamps={"completed_at": frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})},
)
"""The states that a user may set on a mission by hand (contract: missions.states.Mission)."""
MISSION_ACTIONS = Machine(
    Mission,
    "status",
    {
        _S.PLANNING: frozenset({_S.IN_PROGRESS}),
        _S.IN_PROGRESS: frozenset({_S.REVIEW, _S.FAILED}),
        _S.REVIEW: frozenset(),
        _S.COMPLETED: frozenset({_S.PLANNING}),
        _S.CANCELLED: frozenset({_S.PLANNING}),
        _S.FAILED: frozenset({_S.PLANNING, _S.RESUMING}),
        _S.RESUMING: frozenset({_S.IN_PROGRESS}),
    },
    stamps={"completed_at": frozenset({_S.REVIEW, _S.FAILED})},
)
"""The transitions by start, restart and resume, and at the end of the work on a mission or an issue (contract:
missions.states.MissionActions).
"""
TASK_STATES = Machine(
    MissionTask,
    "status",
    {
        TaskStatus.PENDING: frozenset({TaskStatus.IN_PROGRESS, TaskStatus.SKIPPED}),
        TaskStatus.BLOCKED: frozenset({TaskStatus.PENDING, TaskStatus.SKIPPED}),
        TaskStatus.IN_PROGRESS: frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.SKIPPED}),
        TaskStatus.COMPLETED: frozenset(),
        TaskStatus.FAILED: frozenset(),
        TaskStatus.SKIPPED: frozenset(),
        TaskStatus.AWAITING_APPROVAL: frozenset(),
        TaskStatus.CANCELLED: frozenset(),
    },
    stamps={
        "started_at": frozenset({TaskStatus.IN_PROGRESS}),
        "completed_at": frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.SKIPPED}),
    },
)
"""The states that a user may set on a task by hand (contract: missions.states.Task)."""
TASK_BY_ENGINE = Machine(
    MissionTask,
    "status",
    {
        TaskStatus.BLOCKED: frozenset({TaskStatus.PENDING, TaskStatus.FAILED}),
        TaskStatus.PENDING: frozenset({TaskStatus.IN_PROGRESS, TaskStatus.FAILED}),
        TaskStatus.IN_PROGRESS: frozenset(
            {
                TaskStatus.COMPLETED,
                TaskStatus.AWAITING_APPROVAL,
                TaskStatus.FAILED,
                TaskStatus.PENDING,
                TaskStatus.BLOCKED,
            }
        ),
        TaskStatus.AWAITING_APPROVAL: frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED}),
        TaskStatus.COMPLETED: frozenset({TaskStatus.PENDING}),
        TaskStatus.FAILED: frozenset(),
    },
    stamps={
        "started_at": frozenset({TaskStatus.IN_PROGRESS}),
        "completed_at": frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED}),
    },
)
"""The transitions of tasks by the work on a mission (contract: missions.states.TaskByEngine)."""
