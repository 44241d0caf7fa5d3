"""GraphQL: runs of routines, their steps, and the approvals that they wait for."""

import strawberry

from models.work.routine_runs import RoutineRun, RoutineRunStep, Waitpoint
from resolvers.work import routine_runs as run_ops
from resolvers.work.routine_schedules import run_routine_schedule
from schema.bridge.fields import mutation, node, query


@node(RoutineRun)
class RoutineRunType:
    """A run of a routine: its inputs, progress and outcome."""

    fields = """
        id workspace_id routine_id routine routine_slug routine_name status current_step_id inputs run_metadata tags
        warnings output step_outputs error_message error_fingerprint failed_at_step cost_usd duration_ms started_at
        ended_at stopping_at triggered_via triggered_by_id invoking_user_id invoking_user invoking_crew_id invoking_crew
        invoking_agent_id invoking_agent issue_identifier is_replay replay_of definition_hash pinned steps waitpoints
        waitpoint_token concurrency_key schedule_id schedule
        webhook_id webhook restricted chain_depth reserved_usd batch_id pending_id fire_at expires_at priority
        debounce_key coalesced
    """
    run_metadata = strawberry.field(name="metadata")
    routine_name = strawberry.field(description="Empty once the routine is deleted.")
    step_outputs = strawberry.field(description="Outputs of ended steps by their ids, without loops and hooks.")
    stopping_at = strawberry.field(description="Time at which it was asked to stop.")
    definition_hash = strawberry.field(description="Names the version of the routine that it executes.")
    pinned = strawberry.field(description="True if it keeps its version after a change of the routine.")
    error_fingerprint = strawberry.field(description="Equal for failures that differ only in ids, times and numbers.")
    waitpoint_token = strawberry.field(description="Token of the pending approval; null if you may not decide it.")
    reserved_usd = strawberry.field(description="Its part of a monthly budget with a hard stop, or 0.")
    triggered_by_id = strawberry.field(description="The cause, such as an issue's identifier.")
    schedule_id = strawberry.field(description="The schedule that started it, or whose check it is.")
    restricted = strawberry.field(description="True if its inputs came from outside, by a webhook.")
    batch_id: strawberry.ID | None = strawberry.field(description="The batch that it is a part of.")
    pending_id: strawberry.ID | None = strawberry.field(description="Cancels it before it begins; null afterwards.")
    fire_at = strawberry.field(description="Time at which it begins; null if it began at once.")
    expires_at = strawberry.field(description="Time at which it is cancelled, unless it has begun.")
    priority = strawberry.field(description="A higher one gets a free place first.")
    coalesced = strawberry.field(description="True if a later start with its debounce key gave it its inputs.")
    chain_depth = strawberry.field(
        description="Number of runs that led to it, each by a webhook or an agent of the one before."
    )
    issue_identifier = strawberry.field(description="Identifier of the issue that caused it, or empty.")


@node(RoutineRunStep)
class RoutineRunStepType:
    """A step of a run of a routine. A step of a loop has a path such as `each[3].get`."""

    fields = """
        id routine_run_id routine_run path step_type state attempt output error cost_usd started_at ended_at due_at
    """
    due_at = strawberry.field(description="Time of the next attempt, or at which its wait ends.")


@node(Waitpoint)
class WaitpointType:
    """An approval that a run of a routine waits for."""

    fields = """
        id token routine_run_id routine_run path kind prompt status invoking_crew_id timeout_at created_at decided_at
        decided_by_user_id comment grant_id
    """
    token = strawberry.field(description="Null for members who may not decide.")
    path = strawberry.field(name="stepId", description="The step that waits.")
    grant_id = strawberry.field(description="The standing approval that decided it; null if people did.")


@strawberry.type
class RoutineRunQuery:
    routine_runs = query(run_ops.list_routine_runs, RoutineRunType)
    routine_run = query(run_ops.get_routine_run, RoutineRunType)
    routine_run_records = query(run_ops.list_routine_run_records, RoutineRunType)
    active_routine_runs = query(run_ops.list_active_routine_runs, RoutineRunType)
    routine_failures = query(run_ops.list_routine_failures)
    routine_step_overrides = query(run_ops.list_step_overrides)
    routine_run_tree = query(run_ops.get_routine_run_tree)
    routine_run_log = query(run_ops.get_routine_run_log)
    routine_run_changes = query(run_ops.get_routine_run_changes)
    routine_run_files = query(run_ops.list_routine_run_files)
    pending_routine_runs = query(run_ops.list_pending_routine_runs, RoutineRunType)
    routine_batch = query(run_ops.get_routine_batch)
    waitpoints = query(run_ops.list_waitpoints, WaitpointType)
    find_waitpoints = query(run_ops.find_waitpoints, WaitpointType)


@strawberry.type
class RoutineRunMutation:
    run_routine = mutation(run_ops.run_routine, RoutineRunType)
    run_routine_schedule = mutation(run_routine_schedule, RoutineRunType)
    replay_routine_run = mutation(run_ops.replay_routine_run, RoutineRunType)
    test_run_routine = mutation(run_ops.test_run_routine)
    dry_run_routine = mutation(run_ops.dry_run_routine)
    run_routine_step = mutation(run_ops.run_routine_step)
    run_routine_batch = mutation(run_ops.run_routine_batch)
    cancel_routine_batch = mutation(run_ops.cancel_routine_batch)
    replay_routine_runs = mutation(run_ops.replay_routine_runs)
    cancel_pending_routine_run = mutation(run_ops.cancel_pending_routine_run)
    disable_routine = mutation(run_ops.disable_routine)
    cancel_routine_run = mutation(run_ops.cancel_routine_run)
    decide_waitpoint = mutation(run_ops.decide_waitpoint)
    signal_routine_run = mutation(run_ops.signal_routine_run)
    send_signal = mutation(run_ops.send_signal)
    set_routine_step_override = mutation(run_ops.set_step_override)
    clear_routine_step_override = mutation(run_ops.clear_step_override)
    update_routine_run_metadata = mutation(run_ops.update_routine_run_metadata)
