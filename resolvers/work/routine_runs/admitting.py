"""The begin of a queued run: it is checked as any other start, then."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlmodel import col

from models.bounds import ERROR, cut
from models.work.routine_runs import ROUTINE_RUN_STATES, RoutineRun, RoutineRunStatus
from models.work.saved_routines import RoutineVersion, SavedRoutine
from resolvers.kernel import NOW, Code, Context, Refusal
from resolvers.staff.runs.lifecycle import may_start
from resolvers.work.routine_runs.advancing import PREVIEW, begun_of, free_place, keys_of, routine_of
from resolvers.work.routine_runs.agents import NO_MEMBER
from resolvers.work.routine_runs.events import RoutineFailure, RoutineRunFailed, RoutineRunStarted
from resolvers.work.routine_runs.needs import check_needs
from resolvers.work.routine_runs.overriding import overrides_of
from resolvers.work.routine_runs.starting import (
    admitted,
    check_active,
    reserved_for,
    state_for,
    takes_place,
    version_of,
)

if TYPE_CHECKING:
    from models.work.routines.preparing import PreparedRun

LOOK: Final = timedelta(minutes=5)
"""A run that waits for a place looks again after this time, if no run that left one has woken it up."""
EXPIRED: Final = "the run did not begin within its ttl_seconds"
DELETED: Final = "the routine was deleted before the run began"


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """`until`: when to look again; else the run can begin, with this version of its routine and these overrides."""

    run: RoutineRun
    version: RoutineVersion | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    until: datetime | None = None


async def look(ctx: Context, run_id: str) -> QueuedRun | None:
    """A queued run whose time has come; None if it has ended. Raises a Refusal if it cannot begin."""
    run = await _queued(ctx, run_id)
    if run is None:
        return None
    now = await ctx.now()
    if run.fire_at is not None and run.fire_at > now:
        return QueuedRun(run, until=run.fire_at)
    if run.expires_at is not None and run.expires_at <= now:
        await _ended(ctx, run, RoutineRunStatus.cancelled, EXPIRED)
        return None
    routine = await ctx.select(SavedRoutine, col(SavedRoutine.id) == run.routine_id).first()
    if routine is None:
        raise Refusal(Code.CONFLICT, DELETED)
    check_active(routine)
    version = await version_of(ctx, routine, routine.head_version)
    return QueuedRun(run, version, await overrides_of(ctx, routine.id))


async def start_queued(ctx: Context, run_id: str, version: RoutineVersion, prepared: "PreparedRun") -> datetime | None:
    """Begins a run, or returns the time at which it looks for a place again. Raises a Refusal if it cannot begin."""
    seen = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).first()
    is_member = seen is not None and await may_start(ctx, seen.invoking_user_id)  # locked ahead of the run
    run = await _queued(ctx, run_id)
    if run is None:
        return None
    if not is_member:
        raise Refusal(Code.FORBIDDEN, NO_MEMBER)
    routine = await admitted(ctx, version)
    await check_needs(ctx, routine.author_crew_id, prepared.integrations, prepared.credentials)
    now = await ctx.now()
    if not await takes_place(ctx, prepared):
        await ctx.update(RoutineRun, run_id, concurrency_key=prepared.key)
        return min(now + LOOK, run.expires_at or now + LOOK)
    begun = await ctx.move(
        ROUTINE_RUN_STATES,
        run,
        RoutineRunStatus.running,
        definition_hash=version.definition_hash,
        inputs=prepared.inputs,
        state=await state_for(ctx, run),
        overrides=dict(prepared.overrides),
        reserved_usd=await reserved_for(ctx, routine, version),
        concurrency_key=prepared.key,
        started_at=NOW,
    )
    ctx.emit(RoutineRunStarted(**begun_of(begun, routine), step_count=prepared.steps))
    return None


async def refuse(ctx: Context, run_id: str, reason: str) -> None:
    """Ends a run that cannot begin."""
    run = await _queued(ctx, run_id)
    if run is not None:
        await _ended(ctx, run, RoutineRunStatus.failed, reason)


async def _queued(ctx: Context, run_id: str) -> RoutineRun | None:
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == run_id).locked().first()
    return run if run is not None and run.status is RoutineRunStatus.queued and run.stopping_at is None else None


async def _ended(ctx: Context, run: RoutineRun, status: RoutineRunStatus, reason: str) -> None:
    await ctx.move(ROUTINE_RUN_STATES, run, status, error_message=cut(reason, ERROR))
    await free_place(ctx, run)
    cancelled = status is RoutineRunStatus.cancelled
    told: dict[str, Any] = {"failed_at_step": "", "error_message": cut(reason, PREVIEW)}
    told["status"] = RoutineFailure.CANCELLED if cancelled else RoutineFailure.FAILED
    ctx.emit(RoutineRunFailed(**keys_of(run, await routine_of(ctx, run)), **told))
