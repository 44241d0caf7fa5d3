"""The job that carries a run of a routine on, and the transactions around its interpreter: the begin, a pause, the end.

A run that waits holds no job but the one that is due at its end. A decision, a signal and a cancellation enqueue one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlmodel import col

from models.attention.inbox import InboxKind
from models.bounds import ERROR, cut
from models.staff.crews import Crew
from models.work.routine_runs import (
    LARGEST_OUTPUT,
    ROUTINE_RUN_STATES,
    SIGNAL_STATES,
    WAITPOINT_STATES,
    RoutineRun,
    RoutineRunStatus,
    RoutineRunStep,
    RoutineStepState,
    SignalStatus,
    SignalWait,
    Waitpoint,
    WaitpointStatus,
)
from models.work.saved_routines import RoutineOutcome, RoutineStatus, RoutineVersion, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.kernel import NOW, Context, Ended, Holder, Id, Input, ends, job, plus
from resolvers.kernel.ground.inputs import INT32
from resolvers.staff.runs.events import RUN_STARTS
from resolvers.work.routine_budgets import DIGITS, RoutineBudgetReached, ends_runs, month_of, reserve, wish_of
from resolvers.work.routine_runs.agents import costs_of, stop_agents
from resolvers.work.routine_runs.events import (
    RUN_EVENTS,
    ResumeReason,
    RoutineApprovalDecided,
    RoutineFailure,
    RoutineRunCompleted,
    RoutineRunFailed,
    RoutineRunStarted,
    RoutineTriggerChanged,
)

ATTEMPTS = 8
PREVIEW = 500
"""Characters of a text in an event."""
STOPPED = "context canceled"
"""contract: routines.cancel_run"""
CHANGED = "the definition was changed while the run waited"
DISABLED = "the routine was disabled while the run waited"


class RoutineRunToAdvance(Input):
    run_id: Id


ADVANCE = job(
    "routine_runs.advance",
    RoutineRunToAdvance,
    unique="{run_id}",
    serial=True,
    attempts=ATTEMPTS,
    emits=(*RUN_EVENTS, *RUN_STARTS, InboxItemUpdated, RoutineBudgetReached),
)


SETTLE = job(
    "routine_runs.settle_trigger",
    RoutineRunToAdvance,
    unique="{run_id}",
    attempts=ATTEMPTS,
    emits=(InboxItemUpdated, RoutineTriggerChanged),
)
"""A run of a schedule or a webhook has ended or waits: its trigger records that."""


@dataclass(frozen=True, slots=True)
class BegunRun:
    """A run with its record, as the interpreter takes it up. `budget`: US dollars that it may spend of the routine's
    monthly budget; None without a hard stop.
    """

    run: RoutineRun
    routine: SavedRoutine
    source: str
    crew: Crew | None
    steps: Sequence[RoutineRunStep]
    waitpoints: Sequence[Waitpoint]
    signals: Sequence[SignalWait]
    costs: Mapping[str, float]
    budget: float | None


async def begin(ctx: Context, run_id: str) -> BegunRun | RoutineRun | None:
    """Takes a run up, or ends one that is to be cancelled or whose definition has changed; None if there is nothing to
    do. A queued run is returned as it is.
    """
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    if run is not None and run.status is RoutineRunStatus.queued and run.stopping_at is None:
        return run
    if run is None or run.status not in ROUTINE_RUN_STATES.before(RoutineRunStatus.cancelled):
        return None
    if run.stopping_at is not None:
        await _cancelled(ctx, run)
        return None
    routine = await routine_of(ctx, run)
    of_run = (
        col(RoutineVersion.routine_id) == run.routine_id,
        col(RoutineVersion.definition_hash) == run.definition_hash,
    )
    version = await ctx.select(RoutineVersion, *of_run).first()
    waited = run.status is RoutineRunStatus.waiting
    changed = version is None or (waited and not run.pinned and routine.definition_hash != run.definition_hash)
    if version is None or changed or (waited and routine.status is RoutineStatus.disabled):
        reason = CHANGED if changed else DISABLED
        ended = await ctx.move(ROUTINE_RUN_STATES, run, RoutineRunStatus.interrupted, error_message=reason)
        await _let_go(ctx, run)
        await free_place(ctx, run)
        await _tell_of_end(ctx, ended)
        return None
    if waited:
        run = await ctx.move(ROUTINE_RUN_STATES, run, RoutineRunStatus.running)
    crew = None
    if routine.author_crew_id is not None:
        crew = await ctx.select(Crew, col(Crew.id) == routine.author_crew_id).first()
    steps = await ctx.select(RoutineRunStep, col(RoutineRunStep.routine_run_id) == run_id).all()
    waitpoints = await ctx.select(Waitpoint, col(Waitpoint.routine_run_id) == run_id).all()
    signals = await ctx.select(SignalWait, col(SignalWait.routine_run_id) == run_id).all()
    if waited:
        reason = ResumeReason.approval if _was_decided(run, waitpoints) else ResumeReason.signal
        restored = sum(step.state is RoutineStepState.completed for step in steps)
        resumed: dict[str, Any] = {"resumed": True, "resume_reason": reason, "restored_steps": restored}
        ctx.emit(RoutineRunStarted(**begun_of(run, routine), step_count=count_steps(version), **resumed))
    costs = await costs_of(ctx, run_id, steps)
    budget = await _budget_of(ctx, run, routine, version, sum(costs.values()))
    return BegunRun(run, routine, version.source, crew, steps, waitpoints, signals, costs, budget)


async def _budget_of(
    ctx: Context, run: RoutineRun, routine: SavedRoutine, version: RoutineVersion, unbooked: float
) -> float | None:
    """A run that has used what it has reserved reserves another part, if there is one. `unbooked`: the costs of agents
    that have answered.
    """
    if not ends_runs(routine):
        return None
    spent = run.cost_usd + unbooked
    if round(run.reserved_usd - spent, DIGITS) > 0:
        return run.reserved_usd
    wish = wish_of(version.definition, spent)
    portion = await reserve(ctx, routine, month_of(run.started_at), wish, run_id=run.id, spent=spent)
    if portion.refusal is None:
        await ctx.update(RoutineRun, run.id, reserved_usd=portion.most)
    return portion.most


def _was_decided(run: RoutineRun, waitpoints: Sequence[Waitpoint]) -> bool:
    return any(waitpoint.path == run.current_step_id for waitpoint in waitpoints)


def keys_of(run: RoutineRun, routine: SavedRoutine) -> dict[str, str]:
    """The keys of all events of a run."""
    return {"pipeline_id": routine.id, "pipeline_slug": routine.slug, "run_id": run.id}


def begun_of(run: RoutineRun, routine: SavedRoutine) -> dict[str, Any]:
    """The keys of the event of a run that begins, without the number of its steps."""
    return keys_of(run, routine) | {
        "mode": "run",
        "author_crew_id": routine.author_crew_id or "",
        "invoking_crew_id": run.invoking_crew_id or "",
        "invoking_agent_id": run.invoking_agent_id or "",
    }


def count_steps(version: RoutineVersion) -> int:
    """The steps of the document. Steps of loops and hooks are not counted."""
    steps = version.definition.get("steps")
    return len(steps) if isinstance(steps, list) else 0


async def routine_of(ctx: Context, run: RoutineRun) -> SavedRoutine:
    return await ctx.select(SavedRoutine, col(SavedRoutine.id) == run.routine_id, including_deleted=True).one()


async def pause(ctx: Context, run_id: str, *, waiting: bool) -> bool:
    """Returns true if the run is to be looked at again at once: it was cancelled meanwhile. `waiting`: for a person or
    an event, and not for a time.
    """
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    if run is None or run.status is not RoutineRunStatus.running:
        return False
    if run.stopping_at is not None:
        return True
    if waiting:  # days, perhaps: other runs may have what it has reserved
        await ctx.move(ROUTINE_RUN_STATES, run, RoutineRunStatus.waiting, reserved_usd=0.0)
        _tell_trigger(ctx, run)
        await free_place(ctx, run)
    return False


def _tell_trigger(ctx: Context, run: RoutineRun) -> None:
    if run.schedule_id is not None or run.webhook_id is not None:
        ctx.enqueue(SETTLE, run_id=run.id)


async def stop(ctx: Context, run_id: str) -> None:
    """Ends a run that was cancelled while it was carried out."""
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    if run is not None and run.stopping_at is not None:
        await _cancelled(ctx, run)


async def _cancelled(ctx: Context, run: RoutineRun) -> None:
    """The step that the run was in is the one that failed (contract: routines.cancel_run)."""
    if run.status not in ROUTINE_RUN_STATES.before(RoutineRunStatus.cancelled):
        return
    said: dict[str, Any] = {"error_message": STOPPED, "failed_at_step": run.current_step_id}
    await ctx.move(ROUTINE_RUN_STATES, run, RoutineRunStatus.cancelled, **said)
    await _let_go(ctx, run)
    await free_place(ctx, run)
    _tell_trigger(ctx, run)
    keys = keys_of(run, await routine_of(ctx, run))
    where = run.current_step_id or ""
    ctx.emit(RoutineRunFailed(**keys, failed_at_step=where, error_message=STOPPED, status=RoutineFailure.CANCELLED))


async def free_place(ctx: Context, run: RoutineRun) -> None:
    """Wakes up the first queued run that waits for the place of this one."""
    if run.concurrency_key is None:
        return
    waits = (
        col(RoutineRun.status) == RoutineRunStatus.queued,
        col(RoutineRun.concurrency_key) == run.concurrency_key,
        col(RoutineRun.id) != run.id,
    )
    in_order = (col(RoutineRun.priority).desc(), col(RoutineRun.fire_at), col(RoutineRun.id))
    following = await ctx.select(RoutineRun, *waits).order_by(*in_order).limit(1).first()
    if following is not None:
        ctx.enqueue(ADVANCE, run_id=following.id)


async def _let_go(ctx: Context, run: RoutineRun) -> None:
    """Stops the agents of a run that has ended, whose costs are its own, and withdraws its questions."""
    if asked := await stop_agents(ctx, run.id):
        costs = await costs_of(ctx, run.id, asked)
        await ctx.update(RoutineRun, run.id, cost_usd=run.cost_usd + sum(costs.values()))
    here = col(Waitpoint.routine_run_id) == run.id
    for id in await ctx.move_all(WAITPOINT_STATES, WaitpointStatus.cancelled, here):
        await settle(ctx, InboxKind.waitpoint, id, "cancelled")
    await ctx.delete_where(
        SignalWait, col(SignalWait.routine_run_id) == run.id, col(SignalWait.status) == SignalStatus.pending
    )


async def end(
    ctx: Context,
    run_id: str,
    status: RoutineRunStatus,
    *,
    output: str = "",
    error: str = "",
    failed_at: str = "",
    fingerprint: str = "",
) -> None:
    """Records the end of a run, and counts it for its routine. A cancellation that came before counts more."""
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    if run is None or run.status is not RoutineRunStatus.running:
        return
    if run.stopping_at is not None:
        await _cancelled(ctx, run)
        return
    said: dict[str, Any] = {
        "output": cut(output, LARGEST_OUTPUT),
        "error_message": cut(error, ERROR) or None,
        "failed_at_step": failed_at or None,
        "error_fingerprint": fingerprint or None,
    }
    ended = await ctx.move(ROUTINE_RUN_STATES, run, status, **said)
    await _tell_of_end(ctx, ended)
    delivered = (col(SignalWait.routine_run_id) == run_id, col(SignalWait.status) == SignalStatus.delivered)
    await ctx.move_all(SIGNAL_STATES, SignalStatus.consumed, *delivered)
    await _let_go(ctx, run)
    await free_place(ctx, run)
    outcome = RoutineOutcome.COMPLETED if status is RoutineRunStatus.completed else RoutineOutcome.FAILED
    if await ctx.select(SavedRoutine, col(SavedRoutine.id) == run.routine_id).exists():
        counted: dict[str, Any] = {
            "invocation_count": plus(1),
            "last_invoked_at": NOW,
            "last_invocation_status": outcome,
        }
        await ctx.update(SavedRoutine, run.routine_id, **counted)


async def _tell_of_end(ctx: Context, run: RoutineRun) -> None:
    _tell_trigger(ctx, run)
    keys = keys_of(run, await routine_of(ctx, run))
    if run.status is RoutineRunStatus.completed:
        assert run.ended_at is not None
        spent = int((run.ended_at - run.started_at).total_seconds() * 1000)
        ctx.emit(RoutineRunCompleted(**keys, total_duration_ms=min(spent, INT32), total_cost_usd=run.cost_usd))
        return
    text = cut(run.error_message or "", PREVIEW)
    where = run.failed_at_step or ""
    ctx.emit(RoutineRunFailed(**keys, failed_at_step=where, error_message=text, status=RoutineFailure.FAILED))


async def decide(ctx: Context, token: str, *, approved: bool, comment: str = "") -> bool:
    """Decides an approval, by its token or its id, and wakes its run up; false if it is not pending. An overdue one can
    still be decided until its run has seen it.
    """
    named = or_(col(Waitpoint.token) == token, col(Waitpoint.id) == token)
    waitpoint = await ctx.select(Waitpoint, named).locked().first()
    if waitpoint is None or waitpoint.status is not WaitpointStatus.pending:
        return False
    to = WaitpointStatus.approved if approved else WaitpointStatus.denied
    await ctx.move(WAITPOINT_STATES, waitpoint, to, decided_by_user_id=ctx.user_id or None, comment=comment or None)
    await settle(ctx, InboxKind.waitpoint, waitpoint.id, to.value)
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == waitpoint.routine_run_id).one()
    keys = keys_of(run, await routine_of(ctx, run))
    ctx.emit(RoutineApprovalDecided(**keys, step_id=waitpoint.path, approved=approved))
    ctx.enqueue(ADVANCE, run_id=waitpoint.routine_run_id)
    return True


async def signal(ctx: Context, run_id: str, event_type: str, payload: str) -> bool:
    """Delivers an event to the oldest wait for it in the run, and wakes the run up; false if none waits."""
    waits = (
        col(SignalWait.routine_run_id) == run_id,
        col(SignalWait.event_type) == event_type,
        col(SignalWait.status) == SignalStatus.pending,
    )
    in_order = (col(SignalWait.created_at), col(SignalWait.id))
    wait = await ctx.select(SignalWait, *waits).order_by(*in_order).limit(1).locked().first()
    if wait is None:
        return False
    await ctx.move(SIGNAL_STATES, wait, SignalStatus.delivered, payload=payload)
    ctx.enqueue(ADVANCE, run_id=run_id)
    return True


async def signal_all(ctx: Context, event_type: str, payload: str, *, most: int) -> list[str]:
    """Delivers an event to each wait for it in the workspace; returns their runs, a run as often as it waits."""
    waits = (col(SignalWait.event_type) == event_type, col(SignalWait.status) == SignalStatus.pending)
    in_order = (col(SignalWait.created_at), col(SignalWait.id))
    found = await ctx.select(SignalWait, *waits).order_by(*in_order).limit(most).locked().all()
    if not found:
        return []
    ids = [wait.id for wait in found]
    await ctx.move_all(SIGNAL_STATES, SignalStatus.delivered, col(SignalWait.id).in_(ids), payload=payload)
    runs = [wait.routine_run_id for wait in found]
    for run_id in sorted(set(runs)):
        ctx.enqueue(ADVANCE, run_id=run_id)
    return runs


@ends(4)
async def end_routine_runs(ctx: Context, ended: Ended) -> None:
    """Asks the runs of a person, an agent, a crew or a workspace to stop. Their workers record nothing more."""
    routines = ctx.table(SavedRoutine, including_deleted=True)
    whose: dict[Holder, Any] = {
        Holder.person: col(RoutineRun.invoking_user_id) == ended.id,
        Holder.agent: col(RoutineRun.invoking_agent_id) == ended.id,
        Holder.crew: or_(
            col(RoutineRun.invoking_crew_id) == ended.id,
            col(RoutineRun.routine_id).in_(select(routines.c.id).where(routines.c.author_crew_id == ended.id)),
        ),
        Holder.workspace: col(RoutineRun.workspace_id) == ended.id,
    }
    live = col(RoutineRun.status).in_([*ROUTINE_RUN_STATES.before(RoutineRunStatus.cancelled)])
    for id in await ctx.update_where(RoutineRun, whose[ended.holder], live, stopping_at=NOW):
        ctx.enqueue(ADVANCE, run_id=id)


async def cancel_running(ctx: Context, routine_id: str) -> int:
    """Asks the running runs of a routine to stop, and returns their number. Those that wait stay (contract:
    routines.disable).
    """
    running = (
        col(RoutineRun.routine_id) == routine_id,
        col(RoutineRun.status) == RoutineRunStatus.running,
        col(RoutineRun.stopping_at).is_(None),
    )
    found = await ctx.update_where(RoutineRun, *running, stopping_at=NOW)
    for id in found:
        ctx.enqueue(ADVANCE, run_id=id)
    return len(found)


async def cancel(ctx: Context, run_id: str) -> datetime | None:
    """Asks a run to stop: a waiting or queued one ends at once, a running one at its next record. None if it has
    ended.
    """
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    if run is None or run.status not in ROUTINE_RUN_STATES.before(RoutineRunStatus.cancelled):
        return None
    now = await ctx.now()
    if run.status in (RoutineRunStatus.waiting, RoutineRunStatus.queued):
        await _cancelled(ctx, run)
    elif run.stopping_at is None:
        await ctx.update(RoutineRun, run.id, stopping_at=now)
        ctx.enqueue(ADVANCE, run_id=run.id)
    return run.stopping_at or now
