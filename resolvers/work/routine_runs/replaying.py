"""Many runs again: each replay is a queued run of its own, and is checked as any start when it begins."""

from typing import Annotated, Any, Final

from sqlalchemy import select
from sqlmodel import col

from models.bounds import ENTRIES
from models.work.routine_runs import RoutineRun, RoutineTrigger
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import (
    Absent,
    Action,
    Code,
    Context,
    Id,
    Input,
    Int,
    Output,
    Refusal,
    Text,
    at_most,
    command,
    invalid,
)
from resolvers.work.routine_runs.events import RoutineRunsQueued
from resolvers.work.routine_runs.graph import RUN
from resolvers.work.routine_runs.queueing import PER_MINUTE, queue_all, queued_run, taken_over, times_from
from resolvers.work.routine_runs.starting import check_active
from resolvers.work.routines.graph import ROUTINE

MOST, USUAL = 100, 50
"""contract: routines.bulk_replay, limit"""
NOTHING: Final = "select runs by run_ids, or by the fingerprint of a failure"
QUEUED: Final = "QUEUED"


class ReplayRoutineRuns(Input):
    """`run_ids` and the failed runs of a `fingerprint`, newest first: together at most `limit`, 50 unless it is 1 to
    100.
    """

    run_ids: Annotated[list[Id], at_most(ENTRIES)] = []
    fingerprint: Text = ""
    limit: Int = USUAL


class ReplayedRun(Output):
    """The replay of one run, or the reason why there is none."""

    source_run_id: str
    new_run_id: Annotated[str | None, Absent()] = None
    status: Annotated[str | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None


class RoutineRunsReplayed(Output):
    """`requested`: the number of selected runs; `replayed`: of those that have a replay."""

    requested: int
    replayed: int
    results: list[ReplayedRun]


@command("routines.bulk_replay", Action.CREATE, audit="routine_runs.replayed", emits=RoutineRunsQueued)
async def replay_routine_runs(ctx: Context, data: ReplayRoutineRuns) -> RoutineRunsReplayed:
    """Start many runs again.

    Answers when the replays are queued: each has the inputs, tags and metadata of its source, and the definition that
    the routine has when it begins, one after the other. A replay is refused as any other start: at once for an unknown
    run and a routine that is not active, or when it begins, and is then a failed run.
    """
    limit = data.limit if 1 <= data.limit <= MOST else USUAL
    ids = await _selected(ctx, data, limit)
    if not ids:
        raise invalid("run_ids", NOTHING)
    times = times_from(await ctx.now(), PER_MINUTE, len(ids))
    results, routines = list[ReplayedRun](), dict[str, SavedRoutine | Refusal]()
    for id, at in zip(ids, times, strict=True):  # one source at a time: its inputs may be large
        results.append(await _replayed(ctx, id, at, routines))
    replayed = sum(result.error is None for result in results)
    ctx.audit("WORKSPACE", ctx.workspace_id, requested=len(ids), replayed=replayed)
    return RoutineRunsReplayed(requested=len(ids), replayed=replayed, results=results)


async def _selected(ctx: Context, data: ReplayRoutineRuns, limit: int) -> list[str]:
    ids = list(dict.fromkeys(filter(None, data.run_ids)))
    if data.fingerprint and len(ids) < limit:
        runs = ctx.table(RoutineRun)
        newest = select(runs.c.id).order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(limit)
        found = await ctx.report(newest.where(runs.c.error_fingerprint == data.fingerprint))
        ids += [row[0] for row in found if row[0] not in ids]
    return ids[:limit]


async def _replayed(ctx: Context, id: str, at: Any, routines: dict[str, SavedRoutine | Refusal]) -> ReplayedRun:
    source = await ctx.select(RoutineRun, col(RoutineRun.id) == id).first()
    if source is None:
        return ReplayedRun(source_run_id=id, error=RUN.missing)
    if source.routine_id not in routines:
        routines[source.routine_id] = await _routine(ctx, source.routine_id)
    routine = routines[source.routine_id]
    if isinstance(routine, Refusal):
        return ReplayedRun(source_run_id=id, error=routine.detail)
    run = queued_run(
        routine,
        at,
        inputs=source.inputs,
        triggered_via=RoutineTrigger.manual,
        invoking_user_id=ctx.user_id or None,
        **taken_over(source),
    )
    await queue_all(ctx, routine, [run])
    return ReplayedRun(source_run_id=id, new_run_id=run.id, status=QUEUED)


async def _routine(ctx: Context, id: str) -> SavedRoutine | Refusal:
    routine = await ctx.select(SavedRoutine, col(SavedRoutine.id) == id).first()
    if routine is None:
        return Refusal(Code.NOT_FOUND, ROUTINE.missing)
    try:
        check_active(routine)
    except Refusal as refusal:
        return refusal
    return routine
