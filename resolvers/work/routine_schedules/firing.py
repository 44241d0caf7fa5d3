"""The clock of schedules: finds those that are due, and starts their runs.

A tick enqueues a job for each schedule that is due, in portions. The job checks the routine outside a transaction, and
then starts the run and moves `next_run_at` in one, under the schedule's lock: a second job finds that it is not due any
more. An occurrence waits while the run of the one before is running, so a schedule has one running run.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import col

from models.staff.crews import AutonomyLevel, Crew
from models.work.routine_runs import RoutineRun, RoutineRunStatus, RoutineTrigger
from models.work.routine_schedules import (
    CatchupPolicy,
    RoutineSchedule,
    ScheduleOutcome,
    WakeOutcome,
)
from models.work.saved_routines import SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import AcrossWorkspaces, Code, Context, Id, Input, Refusal, clock, job, plus
from resolvers.kernel.background.clocks import Write, each_due
from resolvers.rules.cron import missed_occurrences, next_after, next_occurrence
from resolvers.rules.time_zones import time_zone
from resolvers.work.routine_runs.events import RoutineRunStarted, RoutineTriggerChanged
from resolvers.work.routine_runs.starting import store_run
from resolvers.work.routine_runs.triggering import ReadyRun, check_member, ready_run
from resolvers.work.routine_schedules.outcomes import failed, noted, settle_schedule, tell_of_missed
from resolvers.work.routine_schedules.schedules import GONE, STRICT_CREW, cause_of, create_routine_schedule
from resolvers.work.routine_schedules.timing import delay_of

ATTEMPTS: Final = 5
MOST_CAUGHT_UP: Final = 20
"""Missed occurrences that run, beside the one that was due."""
BROKEN: Final = "the service failed repeatedly"
MOST_COUNTED: Final = 1_000
"""Missed occurrences that are counted; more are reported as so many."""


class OfRoutineSchedule(Input):
    schedule_id: Id


LOOK = clock("routine_schedules.due", every=timedelta(seconds=30))
FIRE = job(
    "routine_schedules.fire",
    OfRoutineSchedule,
    unique="{schedule_id}",
    attempts=ATTEMPTS,
    emits=(RoutineRunStarted, RoutineTriggerChanged, InboxItemUpdated),
)
WAKE = job(
    "routine_schedules.wake",
    OfRoutineSchedule,
    unique="{schedule_id}",
    attempts=ATTEMPTS,
    emits=(RoutineRunStarted, RoutineTriggerChanged, InboxItemUpdated),
)


@dataclass(frozen=True, slots=True)
class Start:
    """A start that was prepared: a checked run, or the reason why it cannot."""

    ready: ReadyRun | None = None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A due occurrence, as it was seen outside a transaction: the times, and the runs that it may start. Times of None
    cannot be computed any more.
    """

    due: datetime
    version: int
    missed: int
    following: datetime | None
    after_due: datetime | None
    target: Start
    wake: Start | None


async def look(write: Write, now: datetime) -> None:
    """A job for each schedule that is due, the oldest first."""

    def enqueue(rows: AcrossWorkspaces, row: Any) -> None:
        at = row["next_run_at"] + timedelta(seconds=delay_of(row["id"], row["jitter_seconds"]))
        rows.enqueue(FIRE, row["workspace_id"], at=at if at > now else None, schedule_id=row["id"])

    enabled, columns = col(RoutineSchedule.enabled), ("jitter_seconds",)
    await each_due(write, now, RoutineSchedule, "next_run_at", enabled, columns=columns, enqueue=enqueue)


async def seen(ctx: Context, schedule_id: str, now: datetime, *, woken: bool = False) -> Occurrence | None:
    """The occurrence of a schedule that is due, or whose wake check has ended; None without one."""
    schedule = await ctx.select(RoutineSchedule, col(RoutineSchedule.id) == schedule_id).first()
    if schedule is None or (not woken and (not schedule.enabled or schedule.next_run_at > now)):
        return None
    due, zone = schedule.next_run_at, time_zone(schedule.timezone)
    ended = now - timedelta(seconds=delay_of(schedule.id, schedule.jitter_seconds))
    following = after_due = None
    missed = list[datetime]()
    if zone is not None and not woken:
        cron = schedule.cron_expr
        following = next_after(zone, cron, due, now)
        after_due = next_occurrence(zone, cron, due)
        missed = await asyncio.to_thread(missed_occurrences, zone, cron, due, ended, MOST_COUNTED)
    target = await _start(ctx, schedule.routine_id, schedule.routine_version, schedule.inputs)
    wake = None
    if schedule.wake_routine_id is not None and not woken:
        wake = await _start(ctx, schedule.wake_routine_id, None, schedule.wake_inputs or {})
    return Occurrence(due, schedule.version, len(missed), following, after_due, target, wake)


async def _start(ctx: Context, routine_id: str, number: int | None, inputs: dict[str, Any]) -> Start:
    try:
        ready = await ready_run(ctx, routine_id, number, inputs)
    except Refusal as refusal:
        return Start(refusal=refusal)
    return Start(refusal=Refusal(Code.NOT_FOUND, GONE)) if ready is None else Start(ready)


async def fire(ctx: Context, schedule_id: str, occurrence: Occurrence) -> None:
    """Starts what is due, and sets the next time."""
    schedule = await _held(ctx, schedule_id)
    changed = schedule is None or (schedule.next_run_at, schedule.version) != (occurrence.due, occurrence.version)
    if schedule is None or changed or not schedule.enabled:
        return
    if occurrence.following is None:
        await ctx.update(RoutineSchedule, schedule.id, enabled=False)
        ctx.emit(RoutineTriggerChanged(id=schedule.id))
        return
    if await _goes_on(ctx, schedule.current_run_id) or await _goes_on(ctx, schedule.wake_run_id):
        return
    schedule = await _settled(ctx, schedule)
    if not schedule.enabled:
        return
    changes = await _moved(ctx, schedule, occurrence)
    if changes is None:
        return
    if occurrence.wake is None:
        await begin_run(ctx, schedule, occurrence.target, changes)
    else:
        await _check(ctx, schedule, occurrence, occurrence.wake, changes)


async def give_up(ctx: Context, schedule_id: str, occurrence: Occurrence) -> None:
    """Counts an occurrence as failed that could not be started, so that the next one is."""
    schedule = await _held(ctx, schedule_id)
    if schedule is None or schedule.next_run_at != occurrence.due or occurrence.following is None:
        return
    changes = {"next_run_at": occurrence.following, "catchup_left": 0, "last_run_at": await ctx.now()}
    await failed(ctx, schedule, await _routine_of(ctx, schedule), None, BROKEN, changes)


async def _routine_of(ctx: Context, schedule: RoutineSchedule) -> SavedRoutine:
    named = col(SavedRoutine.id) == schedule.routine_id
    return await ctx.select(SavedRoutine, named, including_deleted=True).one()


async def _held(ctx: Context, schedule_id: str) -> RoutineSchedule | None:
    return await ctx.select(RoutineSchedule, col(RoutineSchedule.id) == schedule_id).locked().first()


async def _goes_on(ctx: Context, run_id: str | None) -> bool:
    """Runs that wait for a person or an event hold nothing back."""
    running = (col(RoutineRun.id) == (run_id or ""), col(RoutineRun.status) == RoutineRunStatus.running)
    return run_id is not None and await ctx.select(RoutineRun, *running).exists()


async def _settled(ctx: Context, schedule: RoutineSchedule) -> RoutineSchedule:
    """The schedule with the outcome of the run before, whose job may come later than this one."""
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == (schedule.current_run_id or "")).first()
    if run is None:
        return schedule
    await settle_schedule(ctx, run)
    return await ctx.get(RoutineSchedule, schedule.id)


async def _moved(ctx: Context, schedule: RoutineSchedule, occurrence: Occurrence) -> dict[str, Any] | None:
    """The changes of the time, after missed occurrences were reported; None if nothing is to run."""
    missed, left = occurrence.missed, schedule.catchup_left
    policy = schedule.catchup_policy if occurrence.wake is None else CatchupPolicy.once
    to_next: dict[str, Any] = {"next_run_at": occurrence.following, "catchup_left": 0}
    if policy is CatchupPolicy.all and left > 1:
        return {"next_run_at": occurrence.after_due, "catchup_left": left - 1}
    if not missed:
        return to_next
    ends_catching_up = policy is CatchupPolicy.all and left == 1
    await tell_of_missed(ctx, schedule, occurrence.due, missed, policy)
    if policy is CatchupPolicy.all and not ends_catching_up:
        return {"next_run_at": occurrence.after_due, "catchup_left": min(missed, MOST_CAUGHT_UP)}
    if policy is CatchupPolicy.once:
        return to_next | {"last_missed_count": missed}
    if policy is CatchupPolicy.skip:
        skipped = to_next | {"last_missed_count": missed + 1, "last_status": ScheduleOutcome.SKIPPED}
        await noted(ctx, schedule, skipped)
        return None
    return to_next


async def begin_run(ctx: Context, schedule: RoutineSchedule, start: Start, changes: dict[str, Any]) -> None:
    """Starts the run of an occurrence, or records why it does not start."""
    try:
        run = await _stored(ctx, schedule, start, RoutineTrigger.schedule)
    except Refusal as refusal:
        if refusal.constraint is not None:  # nothing can be written in this transaction any more
            raise
        await _refused(ctx, schedule, refusal, changes)
        return
    await ctx.update(RoutineSchedule, schedule.id, current_run_id=run.id, **changes)


async def _stored(ctx: Context, schedule: RoutineSchedule, start: Start, trigger: RoutineTrigger) -> RoutineRun:
    if start.ready is None:
        raise start.refusal or Refusal(Code.NOT_FOUND, GONE)
    if schedule.by_agent:
        await _check_crew(ctx, schedule.crew_id)
    else:
        await check_member(ctx, schedule.run_as_id, create_routine_schedule)
    cause = cause_of(schedule, trigger) | {
        "pinned": start.ready.pinned, "invoking_user_id": schedule.run_as_id, "invoking_crew_id": schedule.crew_id,
    }  # fmt: skip
    return await store_run(ctx, start.ready.version, start.ready.prepared, cause)


async def _check_crew(ctx: Context, crew_id: str | None) -> None:
    """An agent's schedule needs the level that its crew needed to create it."""
    if crew_id is None:
        return
    crew = await ctx.select(Crew, col(Crew.id) == crew_id).first()
    if crew is None or crew.autonomy_level is AutonomyLevel.strict:
        raise Refusal(Code.CONFLICT, STRICT_CREW)


async def _refused(ctx: Context, schedule: RoutineSchedule, refusal: Refusal, changes: dict[str, Any]) -> None:
    """A routine that is not active, and one whose key is full, leave the occurrence out. All else is a failure."""
    inactive = "status" in (refusal.extra or {})
    if inactive or refusal.code is Code.RATE_LIMITED:
        skipped = {"last_status": ScheduleOutcome.SKIPPED, "last_run_at": await ctx.now(), "last_run_id": None}
        await noted(ctx, schedule, changes | skipped)
    else:
        routine = await _routine_of(ctx, schedule)
        await failed(ctx, schedule, routine, None, refusal.detail, changes | {"last_run_at": await ctx.now()})


async def _check(
    ctx: Context, schedule: RoutineSchedule, occurrence: Occurrence, wake: Start, changes: dict[str, Any]
) -> None:
    """Starts the wake check. One that is refused counts as failed."""
    changes |= {"wake_check_count": plus(1), "last_wake_at": await ctx.now()}
    try:
        run = await _stored(ctx, schedule, wake, RoutineTrigger.wake_check)
    except Refusal as refusal:
        if refusal.constraint is not None:
            raise
        await decide(ctx, schedule, occurrence.target, WakeOutcome.ERROR, changes)
        return
    await ctx.update(RoutineSchedule, schedule.id, wake_run_id=run.id, **changes)


async def decide(
    ctx: Context, schedule: RoutineSchedule, target: Start, outcome: WakeOutcome, changes: dict[str, Any]
) -> None:
    """Runs the target after its check, or leaves the occurrence out."""
    if outcome is WakeOutcome.ERROR and schedule.wake_fail_closed:
        outcome = WakeOutcome.HELD
    changes |= {"last_wake_status": outcome, "wake_run_id": None}
    if outcome in (WakeOutcome.WOKE, WakeOutcome.ERROR):
        await begin_run(ctx, schedule, target, changes | {"wake_fire_count": plus(1)})
    else:
        await noted(ctx, schedule, changes)


async def wake_up(ctx: Context, schedule_id: str, occurrence: Occurrence, outcome: WakeOutcome) -> None:
    """Continues an occurrence whose check has ended, unless the schedule was disabled or its check removed."""
    schedule = await _held(ctx, schedule_id)
    if schedule is None or schedule.wake_run_id is None:
        return
    if not schedule.enabled:
        await ctx.update(RoutineSchedule, schedule.id, wake_run_id=None)
        return
    await decide(ctx, schedule, occurrence.target, outcome, {})
