"""Missions, their tasks, and the assignments that carry work to agents."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import TenantTable, Timestamps, Versioned, belongs_to, enum_field, json_field, tenant_key, text_field, time_field
from models.bounds import CONFIG, DESCRIPTION, ERROR, ID, LINE, NOTES, URL


class MissionType(StrEnum):
    """An issue is a mission too: it is planned, started and reviewed like one."""

    orchestration = "orchestration"
    issue = "issue"


class MissionStatus(StrEnum):
    """The states of missions, and those that only issues take."""

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


class TaskStatus(StrEnum):
    PENDING = "PENDING"
    BLOCKED = "BLOCKED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    CANCELLED = "CANCELLED"


class ApprovalDecision(StrEnum):
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


class Mission(TenantTable, Versioned, Timestamps, table=True):
    """A goal that a crew's lead pursues. The chat with the same id groups its assignments."""

    __tablename__ = "missions"
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("trace_id"),
        belongs_to("crew_id", "crews"),
        belongs_to("lead_agent_id", "agents"),
        Index("missions_workspace_id_created_at_id_idx", "workspace_id", "created_at", "id"),
        Index("missions_workspace_id_crew_id_created_at_id_idx", "workspace_id", "crew_id", "created_at", "id"),
        Index("missions_workspace_id_lead_agent_id_idx", "workspace_id", "lead_agent_id"),
    )
    crew_id: str
    lead_agent_id: str
    mission_type: MissionType = enum_field(MissionType.orchestration)
    trace_id: str = text_field(ID)
    title: str = text_field(LINE * 3)
    description: str | None = text_field(CONFIG, default=None)
    status: MissionStatus = enum_field(MissionStatus.PLANNING)
    plan: str | None = text_field(CONFIG, default=None)
    workflow_template: str | None = text_field(CONFIG, default=None)
    total_token_count: int | None = Field(default=None, sa_type=BigInteger)
    total_estimated_cost: float | None = None
    completed_at: datetime | None = time_field(default=None)


class Assignment(TenantTable, Timestamps, table=True):
    """One piece of work from one agent to another, in a chat."""

    __tablename__ = "assignments"
    __table_args__ = (
        tenant_key(),
        belongs_to("chat_id", "chats"),
        belongs_to("assigned_by_id", "agents"),
        belongs_to("assigned_to_id", "agents"),
        Index("assignments_workspace_id_chat_id_idx", "workspace_id", "chat_id"),
        Index("assignments_workspace_id_assigned_by_id_created_at_idx", "workspace_id", "assigned_by_id", "created_at"),
        Index("assignments_workspace_id_assigned_to_id_created_at_idx", "workspace_id", "assigned_to_id", "created_at"),
        Index("assignments_queued_idx", "workspace_id", "created_at", postgresql_where=text("status = 'QUEUED'")),
    )
    chat_id: str | None = None
    assigned_by_id: str
    assigned_to_id: str
    task: str = text_field(CONFIG)
    status: AssignmentStatus = enum_field(AssignmentStatus.PENDING)
    result_summary: str | None = text_field(CONFIG, default=None)
    error_message: str | None = text_field(ERROR, default=None)
    started_at: datetime | None = time_field(default=None)
    finished_at: datetime | None = time_field(default=None)


class MissionTask(TenantTable, Versioned, Timestamps, table=True):
    """A node of a mission's task graph. `depends_on` lists ids of tasks of the same mission; costs are US dollars, tokens are input and output."""

    __tablename__ = "mission_tasks"
    __table_args__ = (
        tenant_key(),
        belongs_to("mission_id", "missions", ondelete="CASCADE"),
        belongs_to("assigned_agent_id", "agents"),
        belongs_to("assignment_id", "assignments"),
        Index("mission_tasks_workspace_id_mission_id_task_order_id_idx", "workspace_id", "mission_id", "task_order", "id"),
        Index("mission_tasks_workspace_id_assigned_agent_id_idx", "workspace_id", "assigned_agent_id", postgresql_where=text("assigned_agent_id IS NOT NULL")),
        Index("mission_tasks_workspace_id_assignment_id_idx", "workspace_id", "assignment_id", postgresql_where=text("assignment_id IS NOT NULL")),
    )
    mission_id: str
    assigned_agent_id: str | None = None
    assignment_id: str | None = None
    title: str = text_field(LINE * 3)
    description: str | None = text_field(CONFIG, default=None)
    status: TaskStatus = enum_field(TaskStatus.PENDING)
    task_order: int = 0
    depends_on: list[str] = json_field(NOTES, default_factory=list)
    iteration: int | None = 1
    max_iterations: int | None = None
    result_summary: str | None = text_field(CONFIG, default=None)
    output_path: str | None = text_field(URL, default=None)
    error_message: str | None = text_field(ERROR, default=None)
    token_budget: int | None = Field(default=None, sa_type=BigInteger)
    token_count: int | None = Field(default=None, sa_type=BigInteger)
    estimated_cost: float | None = None
    started_at: datetime | None = time_field(default=None)
    completed_at: datetime | None = time_field(default=None)
    duration_ms: int | None = Field(default=None, sa_type=BigInteger)
    confidence: float | None = None
    needs_review: bool = False
    handoff_context: str | None = text_field(CONFIG, default=None)
    evaluation_status: str | None = text_field(LINE, default=None)
    evaluation_notes: str | None = text_field(DESCRIPTION, default=None)
    approval_required: bool = False
    approval_status: ApprovalDecision | None = enum_field(ApprovalDecision, default=None)
    approved_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    approved_at: datetime | None = time_field(default=None)
