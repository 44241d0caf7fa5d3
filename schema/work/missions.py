"""GraphQL: missions and their tasks."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.work.missions import (
    ApprovalDecision,
    Checkpoint,
    Mission,
    MissionStatus,
    MissionTask,
    MissionType,
    TaskStatus,
)
from resolvers.work import missions as mission_ops
from resolvers.work.missions.graph import TaskStats
from schema.bridge.fields import Edge, Edges, mutation, node, output, query
from schema.bridge.results import DeletedType


@node(TaskStats, name="MissionTaskStats")
class TaskStatsType:
    """Tasks of a mission by status. CANCELLED tasks count in `total` only."""

    total: int
    pending: int
    blocked: int
    in_progress: int
    completed: int
    failed: int
    skipped: int
    awaiting_approval: int


@node(Mission)
class MissionNodeType:
    """A goal that a crew pursues under its lead. Issues are missions, too; see `missionType`."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    crew: Edge | None
    lead_agent_id: strawberry.ID
    lead_agent: Edge | None
    lead_agent_name: str | None
    mission_type: MissionType
    identifier: str | None = strawberry.field(description="Of an issue, such as ENG-42.")
    trace_id: str
    title: str
    description: str | None
    status: MissionStatus
    plan: str | None
    workflow_template: str | None = strawberry.field(description="As sent.")
    total_token_count: int | None
    total_estimated_cost: float | None = strawberry.field(description="US dollars.")
    tasks: Edges
    task_stats: Edge
    assignments: Edges
    checkpoints: Edges
    started_at: datetime | None = strawberry.field(description="When the work on it last began.")
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    version: int


@node(MissionTask)
class MissionTaskType:
    """A node of a mission's task graph."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    mission_id: strawberry.ID
    mission: Edge
    assigned_agent_id: strawberry.ID | None
    agent: Edge | None
    agent_name: str | None
    title: str
    description: str | None
    status: TaskStatus
    task_order: int
    depends_on: list[strawberry.ID] = strawberry.field(description="Tasks of the same mission.")
    iteration: int | None
    max_iterations: int | None = strawberry.field(description="How often the task is tried; null, 0 and 1 mean once.")
    assignment_id: strawberry.ID | None
    assignment: Edge | None
    result_summary: str | None
    output_path: str | None
    error_message: str | None
    token_count: int | None
    estimated_cost: float | None = strawberry.field(description="US dollars.")
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    confidence: float | None = strawberry.field(description="0.9 is high, 0.7 medium, 0.4 low.")
    needs_review: bool
    handoff_context: str | None = strawberry.field(description="The output passed to dependent tasks.")
    evaluation_status: str | None
    evaluation_notes: str | None
    approval_required: bool
    approval_status: ApprovalDecision | None
    approved_by: strawberry.ID | None
    approved_at: datetime | None
    created_at: datetime
    updated_at: datetime
    version: int


@output(mission_ops.MissionMetrics)
class MissionMetricsType:
    """Counts of missions and tasks, and their tokens and costs within the last 24 hours."""

    total_missions: int
    active_missions: int
    completed_24h: int
    failed_24h: int
    total_tokens_24h: float
    total_cost_24h: float
    avg_completion_time_ms: float
    tasks_completed_24h: int
    tasks_failed_24h: int


@node(Checkpoint)
class CheckpointType:
    """Where a mission was: the newest entry of its journal, and what of it was open."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    mission_id: strawberry.ID
    mission: Edge
    label: str | None
    journal_cursor: str = strawberry.field(description="Id of the newest journal entry of the mission.")
    state: JSON = strawberry.field(description="`pending_tasks`, `open_assignments` and `agent_memory`.")
    fork_of: strawberry.ID | None
    parent: Edge | None = strawberry.field(description="The checkpoint that the mission was forked at.")
    created_by: strawberry.ID | None
    created_at: datetime


@output(mission_ops.RestoredCheckpoint)
class RestoredCheckpointType:
    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    mission_id: strawberry.ID
    label: str | None
    journal_cursor: str
    state: JSON
    fork_of: strawberry.ID | None
    created_by: strawberry.ID | None
    created_at: str


@output(mission_ops.CheckpointRestored)
class CheckpointRestoredType:
    checkpoint: RestoredCheckpointType
    journal_cursor: str
    warn_divergence: list[strawberry.ID]


@output(mission_ops.CheckpointFork)
class CheckpointForkType:
    """A mission that continues from a checkpoint."""

    new_mission_id: strawberry.ID
    new_checkpoint_id: strawberry.ID


@output(mission_ops.MissionState)
class MissionStateType:
    """The state of a mission."""

    id: strawberry.ID
    status: MissionStatus


@output(mission_ops.MissionResumed)
class MissionResumedType:
    """An active mission."""

    id: strawberry.ID
    status: MissionStatus
    reset_tasks: int = strawberry.field(description="How many tasks begin anew.")


@strawberry.type
class MissionQuery:
    missions = query(mission_ops.list_all_missions, MissionNodeType)
    crew_missions = query(mission_ops.list_missions, MissionNodeType)
    mission = query(mission_ops.get_mission, MissionNodeType)
    checkpoints = query(mission_ops.list_checkpoints, CheckpointType)
    checkpoint = query(mission_ops.get_checkpoint, CheckpointType)
    mission_metrics = query(mission_ops.mission_metrics, MissionMetricsType)


@strawberry.type
class MissionMutation:
    create_mission = mutation(mission_ops.create_mission, MissionNodeType)
    update_mission = mutation(mission_ops.update_mission, MissionNodeType)
    delete_mission = mutation(mission_ops.delete_mission, DeletedType)
    start_mission = mutation(mission_ops.start_mission, MissionStateType)
    restart_mission = mutation(mission_ops.restart_mission, MissionStateType)
    resume_mission = mutation(mission_ops.resume_mission, MissionResumedType)
    clone_mission = mutation(mission_ops.clone_mission, MissionStateType)
    create_checkpoint = mutation(mission_ops.create_checkpoint, CheckpointType)
    restore_checkpoint = mutation(mission_ops.restore_checkpoint, CheckpointRestoredType)
    fork_checkpoint = mutation(mission_ops.fork_checkpoint, CheckpointForkType)
    delete_checkpoint = mutation(mission_ops.delete_checkpoint, DeletedType)
    decide_mission_task = mutation(mission_ops.decide_task, MissionTaskType)
    create_mission_task = mutation(mission_ops.create_task, MissionTaskType)
    update_mission_task = mutation(mission_ops.update_task, MissionTaskType)
