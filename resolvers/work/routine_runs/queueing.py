"""Queued runs: they wait for a time or a place, and begin with the definition that their routine has then."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import col

from models.work.routine_runs import RoutineRun, RoutineRunStatus
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import Context, plus
from resolvers.work.routine_runs.advancing import ADVANCE
from resolvers.work.routine_runs.events import RoutineRunsQueued

PER_MINUTE: Final = 600
"""The rate of runs that are started together, unless the caller names another."""
FASTEST: Final = 6_000
PENDING_PREFIX, RUN_PREFIX = "pnd_", "run_"


def pending_id_of(run_id: str) -> str:
    """The id of a run while it is queued (contract: routines.Pending)."""
    return PENDING_PREFIX + run_id.removeprefix(RUN_PREFIX)


def run_id_of(pending_id: str) -> str:
    return RUN_PREFIX + pending_id.removeprefix(PENDING_PREFIX)


def times_from(now: datetime, per_minute: int, count: int) -> list[datetime]:
    """The times at which runs begin, one after the other."""
    return [now + timedelta(seconds=60 * number / per_minute) for number in range(count)]


def queued_run(routine: SavedRoutine, fire_at: datetime, **given: Any) -> RoutineRun:
    """A run that has not begun. Its state, its key and the defaults of its inputs are added when it begins."""
    return RoutineRun(
        routine_id=routine.id,
        definition_hash=routine.definition_hash,
        status=RoutineRunStatus.queued,
        fire_at=fire_at,
        **given,
    )


def taken_over(source: RoutineRun) -> dict[str, Any]:
    """The facts that a replay takes over from its source, beside the inputs: one from outside stays restricted."""
    return {
        "run_metadata": source.run_metadata,
        "tags": source.tags,
        "triggered_by_id": source.id,
        "replay_of": source.id,
        "restricted": source.restricted,
    }


async def queue_all(
    ctx: Context, routine: SavedRoutine, runs: Sequence[RoutineRun], batch_id: str | None = None
) -> None:
    """Stores queued runs of a routine, each with the job that begins it."""
    if not runs:
        return
    for run in runs:
        ctx.enqueue(ADVANCE, at=run.fire_at, run_id=run.id)
    ctx.emit(told_of(routine, len(runs), batch_id))
    await ctx.insert_all(runs)


async def merge(
    ctx: Context, waiting: RoutineRun, latest: datetime | None, fire_at: datetime, **given: Any
) -> RoutineRun:
    """Gives a queued run the inputs of a later start, and moves it to a later time, but not behind `latest`."""
    moved = fire_at if latest is None else min(fire_at, latest)
    ctx.enqueue(ADVANCE, at=moved, run_id=waiting.id)
    return await ctx.update(RoutineRun, waiting.id, fire_at=moved, merges=plus(1), **given)


async def find_debounced(ctx: Context, routine_id: str, key: str) -> RoutineRun | None:
    """The queued run of a debounce key. The routine is locked: there is at most one."""
    same = (
        col(RoutineRun.routine_id) == routine_id,
        col(RoutineRun.debounce_key) == key,
        col(RoutineRun.status) == RoutineRunStatus.queued,
    )
    return await ctx.select(RoutineRun, *same).locked().first()


def told_of(routine: SavedRoutine, count: int, batch_id: str | None) -> RoutineRunsQueued:
    return RoutineRunsQueued(pipeline_id=routine.id, pipeline_slug=routine.slug, run_count=count, batch_id=batch_id)
