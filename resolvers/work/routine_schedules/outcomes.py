"""The outcomes of occurrences: what the schedule records, and what people and the journal learn."""

from datetime import datetime
from typing import Any, Final

from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import ERROR, LINE, cut
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.people.workspaces import Role
from models.work.routine_runs import RoutineRun, RoutineRunStatus
from models.work.routine_schedules import (
    CatchupPolicy,
    RoutineSchedule,
    ScheduleDisabledReason,
    ScheduleOutcome,
    WakeOutcome,
)
from models.work.saved_routines import SavedRoutine
from resolvers.attention.inbox.putting import put
from resolvers.kernel import Context
from resolvers.work.routine_runs.advancing import routine_of
from resolvers.work.routine_runs.events import RoutineTriggerChanged

OUTCOMES: Final = {
    RoutineRunStatus.completed: ScheduleOutcome.COMPLETED,
    RoutineRunStatus.failed: ScheduleOutcome.FAILED,
    RoutineRunStatus.interrupted: ScheduleOutcome.FAILED,
    RoutineRunStatus.cancelled: ScheduleOutcome.SKIPPED,
    RoutineRunStatus.waiting: ScheduleOutcome.WAITING,
}
"""A run that a person cancelled is no failure."""


async def noted(ctx: Context, schedule: RoutineSchedule, changes: dict[str, Any]) -> None:
    await ctx.update(RoutineSchedule, schedule.id, **changes)
    ctx.emit(RoutineTriggerChanged(id=schedule.id))


async def settle_schedule(ctx: Context, run: RoutineRun) -> bool:
    """Records how the run of the last occurrence ended, or that it waits. Returns true if the schedule may be due. Runs
    that a person started by hand change nothing.
    """
    here = col(RoutineSchedule.id) == run.schedule_id
    schedule = await ctx.select(RoutineSchedule, here).locked().first()
    outcome = OUTCOMES.get(run.status)
    if schedule is None or schedule.current_run_id != run.id or outcome is None:
        return False
    changes: dict[str, Any] = {"last_run_at": run.started_at, "last_status": outcome, "last_run_id": run.id}
    if outcome is not ScheduleOutcome.WAITING:
        changes["current_run_id"] = None
    if outcome is ScheduleOutcome.FAILED:
        await failed(ctx, schedule, await routine_of(ctx, run), run, run.error_message or "", changes)
    else:
        cleared = {"consecutive_failures": 0, "last_error": None} if outcome is ScheduleOutcome.COMPLETED else {}
        await noted(ctx, schedule, changes | cleared)
    return schedule.enabled and schedule.next_run_at <= await ctx.now()


async def failed(
    ctx: Context,
    schedule: RoutineSchedule,
    routine: SavedRoutine,
    run: RoutineRun | None,
    reason: str,
    changes: dict[str, Any],
) -> None:
    """Counts a failure, notifies managers, and disables the schedule after too many."""
    failures = schedule.consecutive_failures + 1
    changes |= {
        "last_status": ScheduleOutcome.FAILED,
        "last_run_id": None if run is None else run.id,
        "last_error": cut(reason, ERROR) or None,
        "consecutive_failures": failures,
    }
    await put(
        ctx,
        InboxKind.failed_run,
        schedule.id if run is None else run.id,
        subject=None,
        anew=run is None,
        target_role=Role.MANAGER,
        title=cut(f"Scheduled routine failed: {routine.slug}", LINE),
        body_md=f"The schedule `{cut(schedule.name, LINE)}` failed: {cut(reason, LINE * 5)}",
        sender_type=SenderType.pipeline,
        sender_name=cut(schedule.name, LINE),
        priority=InboxPriority.high,
        payload={"schedule_id": schedule.id, "pipeline_id": routine.id, "run_id": "" if run is None else run.id},
    )
    if failures >= schedule.max_consecutive_failures:
        changes |= {"enabled": False, "disabled_reason": ScheduleDisabledReason.circuit_breaker}
        await _tell_of_breaker(ctx, schedule, routine, failures)
    await noted(ctx, schedule, changes)


async def _tell_of_breaker(ctx: Context, schedule: RoutineSchedule, routine: SavedRoutine, failures: int) -> None:
    told = {"schedule_id": schedule.id, "consecutive_failures": failures}
    ctx.record(
        JournalEntry(
            entry_type="pipeline.schedule.circuit_breaker_tripped",
            severity=Severity.error,
            actor_type=JournalActor.orchestrator,
            actor_id=schedule.id,
            summary=cut(f"The schedule {schedule.name} was disabled after {failures} failures in a row", LINE * 4),
            payload=told
            | {"pipeline_slug": routine.slug, "max_consecutive_failures": schedule.max_consecutive_failures},
        )
    )
    await put(
        ctx,
        InboxKind.schedule_circuit_breaker_tripped,
        schedule.id,
        subject=None,
        anew=True,
        target_role=Role.MANAGER,
        title=cut(f"Schedule disabled after {failures} failures in a row: {schedule.name}", LINE),
        body_md=f"Runs of `{routine.slug}` failed {failures} times in a row. Mend the cause, then enable the schedule.",
        sender_type=SenderType.pipeline,
        sender_name=cut(schedule.name, LINE),
        priority=InboxPriority.high,
        payload=told,
    )


async def tell_of_missed(
    ctx: Context, schedule: RoutineSchedule, due: datetime, missed: int, policy: CatchupPolicy
) -> None:
    """The journal learns of all missed occurrences; managers learn of those that do not run."""
    now = await ctx.now()
    ctx.record(
        JournalEntry(
            entry_type="pipeline.schedule.missed_occurrences",
            severity=Severity.warn,
            actor_type=JournalActor.orchestrator,
            actor_id=schedule.id,
            summary=cut(f"The schedule {schedule.name} missed {missed} occurrences", LINE * 4),
            payload={
                "schedule_id": schedule.id,
                "missed_count": missed,
                "window_start": _written(due),
                "window_end": _written(now),
            },
        )
    )
    if policy is CatchupPolicy.all:
        return
    await put(
        ctx,
        InboxKind.schedule_missed,
        f"{schedule.id}:{_written(due)}",
        subject=None,
        target_role=Role.MANAGER,
        title=cut(f"Schedule missed {missed} occurrence(s): {schedule.name}", LINE),
        body_md="One run makes up for them." if policy is CatchupPolicy.once else "They were left out.",
        sender_type=SenderType.pipeline,
        sender_name=cut(schedule.name, LINE),
        priority=InboxPriority.medium,
        payload={"schedule_id": schedule.id, "missed_count": missed, "catchup_policy": policy},
    )


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


async def woke(ctx: Context, schedule_id: str) -> WakeOutcome | None:
    """The outcome of the check that is under way, by the rules of conditions; None while it runs. A check that waits
    for a person or an event has failed.
    """
    schedule = await ctx.select(RoutineSchedule, col(RoutineSchedule.id) == schedule_id).first()
    if schedule is None or schedule.wake_run_id is None:
        return None
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == schedule.wake_run_id).first()
    if run is None or run.status is RoutineRunStatus.running:
        return None
    if run.status is not RoutineRunStatus.completed:
        return WakeOutcome.ERROR
    from models.work.routines.templates import holds

    return WakeOutcome.WOKE if holds(run.output or "") else WakeOutcome.SKIPPED
