"""Batches: many runs of one routine at a rate. Each is a run of its own, queued first."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlalchemy import func, select
from sqlmodel import col

from models.bounds import PAYLOAD
from models.work.routine_runs import ROUTINE_RUN_STATES, RoutineRun, RoutineRunStatus, RoutineTrigger, new_batch_id
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import (
    ENDS,
    Absent,
    Action,
    Code,
    Context,
    Id,
    Input,
    Int,
    Notes,
    Output,
    Refusal,
    Text,
    at_most,
    command,
    invalid,
    procedure,
    within,
)
from resolvers.work.routine_runs.events import RoutineBatchCancelled, RoutineRunsQueued
from resolvers.work.routine_runs.needs import check_needs
from resolvers.work.routine_runs.queueing import FASTEST, PER_MINUTE, queue_all, queued_run, times_from
from resolvers.work.routine_runs.starting import (
    LARGE,
    admitted,
    check_active,
    prepared_run,
    tags_of,
    version_of,
)
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

MOST_ITEMS: Final = 1_000
TAG: Final = "batch:"
LONGEST_FAULT: Final = 1_000
NO_BATCH: Final = "Batch not found"
QUEUED: Final = "QUEUED"
STOPPED: Final = "the batch was cancelled before the run began"
Rate = Annotated[Int, Field(ge=1, le=FASTEST)]


class BatchItem(Input):
    """One run of a batch, as a run that is started alone."""

    inputs: Annotated[dict[str, Any], within(PAYLOAD), ENDS] = {}
    tags: Annotated[list[Text], at_most(100)] = []
    metadata: Notes = {}


class RunRoutineBatch(ByRoutineSlug):
    """`items`: at most 1,000. `tags`: of all runs. `per_minute`: how many runs begin within a minute."""

    items: Annotated[list[BatchItem], at_most(MOST_ITEMS)] = []
    tags: Annotated[list[Text], at_most(100)] = []
    per_minute: Rate = PER_MINUTE


class BatchedRun(Output):
    """One item of a batch, counted from 0: its run, or the reason why it has none."""

    index: int
    run_id: Annotated[str | None, Absent()] = None
    status: Annotated[str | None, Absent()] = None
    error: Annotated[str | None, Absent()] = None


class RoutineBatchStarted(Output):
    """All runs of the batch have `tag`. `count` is the number of its items."""

    batch_id: str
    tag: str
    count: int
    results: list[BatchedRun]


class ByBatch(Input):
    """A batch by the id that its start answered."""

    batch_id: Annotated[Id, Field(min_length=1)]


class RoutineBatch(Output):
    """The runs of a batch by their status; `count` is their number."""

    batch_id: str
    tag: str
    pipeline_slug: str
    count: int
    queued: int = 0
    running: int = 0
    waiting: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    interrupted: int = 0
    cost_usd: float


class RoutineBatchStopped(Output):
    """`cancelled`: the number of runs that had not begun; those that have begun continue."""

    batch_id: str
    cancelled: int


@command(
    "routines.run_batch",
    Action.CREATE,
    subject=ROUTINE,
    audit="routine.batch_started",
    emits=RoutineRunsQueued,
    errors=(Code.CONFLICT, Code.UNPROCESSABLE),
    late=True,
)
async def run_routine_batch(ctx: Context, routine: SavedRoutine, data: RunRoutineBatch) -> RoutineBatchStarted:
    """Start many runs of a routine.

    Answers when the runs are queued. They begin one after the other at the rate `per_minute`, also after a restart of
    the server, each with the definition that the routine has then, and after the checks of any other start: a run that
    is refused then ends as failed. A run whose concurrency key is full waits for a place. An item with inputs that the
    routine does not take has an error instead of a run, and the others begin. `routines.cancel_batch` cancels the runs
    that have not begun.
    """
    check_active(routine)
    if not data.items:
        raise invalid("items", "must have at least one item")
    version = await version_of(ctx, routine, routine.head_version)
    batch_id = new_batch_id()
    tag = TAG + batch_id
    tags = [tags_of([tag, *data.tags, *item.tags]) for item in data.items]
    needs, faults = await asyncio.to_thread(_faults_of, version.source, [item.inputs for item in data.items])
    if needs is None:  # the whole definition is refused, as at any start
        await prepared_run(ctx, routine, version, data.items[0].inputs)
        raise Refusal(Code.UNPROCESSABLE, faults[0])
    await check_needs(ctx, routine.author_crew_id, *needs)
    await ctx.begin()
    current = await admitted(ctx, version)
    good = [index for index, fault in enumerate(faults) if not fault]
    times = dict(zip(good, times_from(await ctx.now(), data.per_minute, len(good)), strict=True))
    runs = {
        index: queued_run(
            current,
            at,
            inputs=data.items[index].inputs,
            run_metadata=data.items[index].metadata,
            tags=tags[index],
            batch_id=batch_id,
            triggered_via=RoutineTrigger.manual,
            invoking_user_id=ctx.user_id or None,
        )
        for index, at in times.items()
    }
    await queue_all(ctx, current, list(runs.values()), batch_id)
    ctx.audit("ROUTINE", routine.id, batch_id=batch_id, count=len(runs))
    results = [
        BatchedRun(index=index, run_id=runs[index].id, status=QUEUED)
        if index in runs
        else BatchedRun(index=index, error=fault)
        for index, fault in enumerate(faults)
    ]
    return RoutineBatchStarted(batch_id=batch_id, tag=tag, count=len(faults), results=results)


@procedure("routines.batch", Action.READ, errors=(Code.NOT_FOUND,))
async def get_routine_batch(ctx: Context, data: ByBatch) -> RoutineBatch:
    """Get the progress of a batch.

    The numbers of its runs by status, and the cost of those so far.
    """
    runs, routines = ctx.table(RoutineRun), ctx.table(SavedRoutine, including_deleted=True)
    counted = select(runs.c.status, func.count(), func.sum(runs.c.cost_usd), func.min(runs.c.routine_id))
    rows = await ctx.report(counted.where(runs.c.batch_id == data.batch_id).group_by(runs.c.status))
    if not rows:
        raise Refusal(Code.NOT_FOUND, NO_BATCH)
    [(slug,)] = await ctx.report(select(routines.c.slug).where(routines.c.id == rows[0][3]))
    numbers: dict[str, int] = {RoutineRunStatus(row[0]).value: row[1] for row in rows}
    return RoutineBatch(
        batch_id=data.batch_id,
        tag=TAG + data.batch_id,
        pipeline_slug=slug,
        count=sum(numbers.values()),
        cost_usd=sum(row[2] for row in rows),
        **numbers,
    )


@command(
    "routines.cancel_batch",
    Action.CREATE,
    audit="routine.batch_cancelled",
    emits=RoutineBatchCancelled,
    errors=(Code.NOT_FOUND,),
)
async def cancel_routine_batch(ctx: Context, data: ByBatch) -> RoutineBatchStopped:
    """Cancel a batch.

    Its runs that have not begun are cancelled; those that have begun continue, and each can be cancelled by itself.
    Cancelling a batch again cancels nothing.
    """
    of_batch = col(RoutineRun.batch_id) == data.batch_id
    first = await ctx.select(RoutineRun, of_batch).limit(1).first()
    if first is None:
        raise Refusal(Code.NOT_FOUND, NO_BATCH)
    queued = col(RoutineRun.status) == RoutineRunStatus.queued
    ended = await ctx.move_all(ROUTINE_RUN_STATES, RoutineRunStatus.cancelled, of_batch, queued, error_message=STOPPED)
    routine = await ctx.select(SavedRoutine, col(SavedRoutine.id) == first.routine_id, including_deleted=True).one()
    if ended:
        told = {"pipeline_id": routine.id, "pipeline_slug": routine.slug}
        ctx.emit(RoutineBatchCancelled(**told, run_count=len(ended), batch_id=data.batch_id))
    ctx.audit("ROUTINE", routine.id, batch_id=data.batch_id, count=len(ended))
    return RoutineBatchStopped(batch_id=data.batch_id, cancelled=len(ended))


def _faults_of(
    source: str, items: Sequence[Mapping[str, Any]]
) -> tuple[tuple[tuple[str, ...], tuple[str, ...]] | None, list[str]]:
    """The needs of the definition, and of each item the reason why it cannot start, or an empty text. The definition
    is read once.
    """
    from models.work.routines.faults import RefusedRoutine
    from models.work.routines.inputs import RefusedInputs, merge_inputs
    from models.work.routines.preparing import needs_of_run
    from models.work.routines.reading import read_routine

    try:
        routine = read_routine(source).routine
    except RefusedRoutine as refusal:
        return None, [str(refusal)]
    needs = needs_of_run(routine)
    if needs is None:
        return None, [""]
    defaults = {each.name: len(orjson.dumps(each.default)) for each in routine.inputs if each.default is not None}
    faults = []
    for given in items:
        try:
            merge_inputs(routine, given)
        except RefusedInputs as refusal:
            first = refusal.faults[0]
            faults.append(f"{first.pointer.removeprefix('/')}: {first.text}"[:LONGEST_FAULT])
            continue
        added = sum(size for name, size in defaults.items() if given.get(name) is None)
        faults.append(f"inputs: {LARGE}" if added + len(orjson.dumps(given)) > PAYLOAD else "")
    return needs, faults
