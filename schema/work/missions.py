"""GraphQL: missions and their tasks."""

import strawberry

from models.work.missions import Checkpoint, Mission, MissionTask
from resolvers.work import missions as mission_ops
from resolvers.work.missions.graph import TaskStats
from schema.bridge.fields import Edge, acts, mutation, node, output, query

output(mission_ops.MissionMetrics, fields={"total_tokens_24h": float, "avg_completion_time_ms": float})
output(mission_ops.RestoredCheckpoint, fields={"fork_of": strawberry.ID | None, "created_by": strawberry.ID | None})
output(mission_ops.CheckpointRestored, fields={"warn_divergence": list[strawberry.ID]})
output(mission_ops.MissionResumed, fields={"reset_tasks": ("The number of tasks that start over.")})


@node(TaskStats, name="MissionTaskStats")
class TaskStatsType:
    """Tasks of a mission by status. CANCELLED tasks count in `total` only."""

    fields = "total pending blocked in_progress completed failed skipped awaiting_approval"


@node(Mission)
class MissionNodeType:
    """A goal that a crew pursues under its lead. Issues are missions, too; see `missionType`."""

    fields = """
        id workspace_id crew_id crew lead_agent_id lead_agent lead_agent_name mission_type identifier trace_id title
        description status plan workflow_template total_token_count total_estimated_cost tasks task_stats assignments
        checkpoints escalations work_pauses model_calls budgets usage started_at created_at updated_at completed_at
        paused_at paused_by pauser version viewer_can
    """
    viewer_can = acts()
    lead_agent_name: str | None
    identifier = strawberry.field(description="The identifier of an issue, such as ENG-42.")
    trace_id: str
    workflow_template = strawberry.field(description="As sent.")
    total_estimated_cost = strawberry.field(description="US dollars.")
    task_stats: Edge
    escalations = strawberry.field(description="Questions of agents that work on it.")
    model_calls = strawberry.field(description="Calls of models by runs of its tasks, newest first.")
    usage = strawberry.field(description="Sums of the model calls; null for callers who may not read costs.")
    started_at = strawberry.field(description="When the work on it last began.")
    paused_at = strawberry.field(description="Since when no task of it begins; null unless it is paused.")
    paused_by: strawberry.ID | None
    pauser = strawberry.field(description="The user who paused it.")


@node(MissionTask)
class MissionTaskType:
    """A node of a mission's task graph."""

    fields = """
        id workspace_id mission_id mission assigned_agent_id agent agent_name title description status task_order
        depends_on iteration max_iterations assignment_id assignment result_summary output_path error_message
        token_count estimated_cost started_at completed_at duration_ms confidence needs_review handoff_context
        evaluation_status evaluation_notes approval_required approval_status approved_by approved_at created_at
        updated_at version usage
    """
    mission: Edge
    depends_on: list[strawberry.ID] = strawberry.field(description="Tasks of the same mission.")
    max_iterations = strawberry.field(description="The maximum number of attempts; null, 0 and 1 mean one.")
    token_count = strawberry.field(description="Input and output tokens of attempts that ended.")
    estimated_cost = strawberry.field(description="The cost of attempts that ended, in US dollars.")
    usage = strawberry.field(description="Sums of the model calls; null for callers who may not read costs.")
    confidence = strawberry.field(description="0.9 is high, 0.7 medium, 0.4 low.")
    handoff_context = strawberry.field(description="The output passed to dependent tasks.")
    approved_by: strawberry.ID | None


@node(Checkpoint)
class CheckpointType:
    """A snapshot of a mission: its newest journal entry and its open work."""

    fields = """
        id workspace_id crew_id mission_id mission label journal_cursor state fork_of parent created_by created_at
    """
    mission: Edge
    journal_cursor = strawberry.field(description="Id of the newest journal entry of the mission.")
    state = strawberry.field(description="`pending_tasks`, `open_assignments` and `agent_memory`.")
    fork_of: strawberry.ID | None
    parent = strawberry.field(description="The checkpoint that the mission was forked at.")
    created_by: strawberry.ID | None


@strawberry.type
class MissionQuery:
    missions = query(mission_ops.find_missions, MissionNodeType)
    crew_missions = query(mission_ops.list_missions, MissionNodeType)
    mission = query(mission_ops.find_mission, MissionNodeType)
    mission_task = query(mission_ops.get_task, MissionTaskType)
    checkpoints = query(mission_ops.list_checkpoints, CheckpointType)
    checkpoint = query(mission_ops.get_checkpoint, CheckpointType)
    mission_metrics = query(mission_ops.mission_metrics)


@strawberry.type
class MissionMutation:
    create_mission = mutation(mission_ops.create_mission, MissionNodeType)
    update_mission = mutation(mission_ops.update_mission, MissionNodeType)
    delete_mission = mutation(mission_ops.delete_mission)
    start_mission = mutation(mission_ops.start_mission)
    restart_mission = mutation(mission_ops.restart_mission)
    restart_mission_from = mutation(mission_ops.restart_mission_from)
    resume_mission = mutation(mission_ops.resume_mission)
    pause_mission = mutation(mission_ops.pause_mission, MissionNodeType)
    continue_mission = mutation(mission_ops.continue_mission, MissionNodeType)
    clone_mission = mutation(mission_ops.clone_mission)
    create_checkpoint = mutation(mission_ops.create_checkpoint, CheckpointType)
    restore_checkpoint = mutation(mission_ops.restore_checkpoint)
    fork_checkpoint = mutation(mission_ops.fork_checkpoint)
    delete_checkpoint = mutation(mission_ops.delete_checkpoint)
    decide_mission_task = mutation(mission_ops.decide_task, MissionTaskType)
    create_mission_task = mutation(mission_ops.create_task, MissionTaskType)
    update_mission_task = mutation(mission_ops.update_task, MissionTaskType)
    delete_mission_task = mutation(mission_ops.delete_task)
