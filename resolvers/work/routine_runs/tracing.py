"""The runs that a run has caused, and what happened in a run, line by line."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema
from sqlalchemy import Text, cast, func, select
from sqlmodel import col

from models.bounds import cut
from models.work.routine_runs import (
    RoutineRun,
    RoutineRunStatus,
    RoutineRunStep,
    RoutineStepState,
    Waitpoint,
    WaitpointStatus,
)
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import ENDS, Absent, Action, ById, Context, Output, constant, procedure
from resolvers.kernel.ground.inputs import whole
from resolvers.work.routine_runs.advancing import routine_of
from resolvers.work.routine_runs.graph import RUN

MOST_NODES: Final = 500
"""contract: routine_runs.tree"""
LINES: Final = 200
MOST_LINES: Final = 1_000
SHOWN: Final = 2_000
"""Characters of an error or a warning in a line."""
LEVELS: Final = {
    RoutineRunStatus.failed: "error",
    RoutineRunStatus.interrupted: "error",
    RoutineRunStatus.cancelled: "warn",
}
DECISIONS: Final = {
    WaitpointStatus.approved: "was approved",
    WaitpointStatus.denied: "was denied",
    WaitpointStatus.timed_out: "was not decided in time",
    WaitpointStatus.cancelled: "is not decided any more",
}
ENDS_OF_STEPS: Final = {
    RoutineStepState.completed: "completed",
    RoutineStepState.skipped: "skipped",
    RoutineStepState.failed: "failed",
}


class RoutineRunNode(Output):
    """A run in a tree. `parent_id` is absent for the run that was asked for."""

    id: str
    parent_id: Annotated[str | None, Absent()] = None
    pipeline_slug: str
    status: str
    triggered_via: str
    cost_usd: float


class RoutineRunTree(Output):
    """A run and the runs that it has caused, oldest first."""

    nodes: list[RoutineRunNode]


@procedure("routine_runs.tree", Action.READ, subject=RUN)
async def get_routine_run_tree(ctx: Context, run: RoutineRun, data: ById) -> RoutineRunTree:
    """Get the tree of a run of a routine.

    The run, its replays and other runs that it caused, and those that they caused: at most 500, oldest first.
    """
    return RoutineRunTree(nodes=[RoutineRunNode(**row) for row in await ctx.report(_tree(ctx, run.id))])


def _tree(ctx: Context, run_id: str) -> Any:
    """The walk ends when it has enough runs. UNION leaves out a run that was found before, so a circle ends, too."""
    first, caused = ctx.table(RoutineRun).c, ctx.table(RoutineRun).c
    parent = cast(constant("", Text()), Text)
    tree = select(first.id.label("id"), parent.label("parent_id")).where(first.id == run_id).cte(recursive=True)
    walk = tree.union(
        select(caused.id, caused.triggered_by_id).where(caused.triggered_by_id == tree.c.id, caused.id != run_id)
    )
    found = select(walk.c.id, walk.c.parent_id).limit(MOST_NODES).subquery().c
    run, routine = ctx.table(RoutineRun).c, ctx.table(SavedRoutine, including_deleted=True).c
    columns = [run.id, func.nullif(found.parent_id, constant("", Text())).label("parent_id")]
    columns += [routine.slug.label("pipeline_slug"), run.status, run.triggered_via, run.cost_usd]
    joined = select(*columns).where(run.id == found.id, routine.id == run.routine_id)
    return joined.order_by(run.started_at, run.id)


# ---- the log ---------------------------------------------------------------------------------------------------------


def _limit(raw: Any) -> int:
    number = whole(raw)
    return number if number is not None and 1 <= number <= MOST_LINES else LINES


class GetRoutineRunLog(ById):
    """`limit`: 1 to 1,000 lines, 200 by default and for other values."""

    limit: Annotated[
        int, PlainValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_LINES}), ENDS
    ] = LINES


class RoutineRunLogRow(Output):
    """A line of the log of a run. `level` is info, warn or error; `type` is that of the event."""

    ts: datetime
    level: str
    message: str
    type: Annotated[str | None, Absent()] = None


@procedure("routine_runs.logs", Action.READ, subject=RUN)
async def get_routine_run_log(ctx: Context, run: RoutineRun, data: GetRoutineRunLog) -> list[RoutineRunLogRow]:
    """Get the log of a run of a routine.

    The begin and the end of the run and of its steps, approvals and warnings, oldest first.
    """
    routine = await routine_of(ctx, run)
    named = f"Pipeline {routine.slug}"
    rows = [*_of_run(run, named)]
    for column, lines in ((RoutineRunStep.started_at, _begun), (RoutineRunStep.ended_at, _ended)):
        rows += lines(await _steps(ctx, run.id, column, data.limit), named)
    asked = ctx.select(Waitpoint, col(Waitpoint.routine_run_id) == run.id).order_by(col(Waitpoint.created_at))
    for waitpoint in await asked.limit(data.limit).all():
        rows += _of_waitpoint(waitpoint, named)
    return sorted(rows, key=lambda row: row.ts)[: data.limit]


async def _steps(ctx: Context, run_id: str, column: Any, limit: int) -> Sequence[Any]:
    """The first steps by a time, without their outputs."""
    step = ctx.table(RoutineRunStep).c
    names = ("path", "state", "attempt", "error", "started_at", "ended_at")
    of_run = select(*[step[name] for name in names]).where(step.routine_run_id == run_id)
    time = step[column.key]
    return await ctx.report(of_run.where(time.is_not(None)).order_by(time, step.path).limit(limit))


def _of_run(run: RoutineRun, named: str) -> Iterator[RoutineRunLogRow]:
    yield RoutineRunLogRow(ts=run.started_at, level="info", message=f"{named} started", type="pipeline.run.started")
    for warning in run.warnings:
        text = cut(f"{warning['stage']}: {warning['message']}", SHOWN)
        yield RoutineRunLogRow(ts=datetime.fromisoformat(warning["at"]), level="warn", message=f"{named} {text}")
    if run.ended_at is not None:
        done = run.status is RoutineRunStatus.completed
        text = f": {cut(run.error_message, SHOWN)}" if run.error_message else ""
        yield RoutineRunLogRow(
            ts=run.ended_at,
            level=LEVELS.get(run.status, "info"),
            message=f"{named} {run.status.value}{text}",
            type="pipeline.run.completed" if done else "pipeline.run.failed",
        )


def _begun(steps: Sequence[Any], named: str) -> Iterator[RoutineRunLogRow]:
    for step in steps:
        if step["state"] == RoutineStepState.skipped:
            continue
        message = f"{named} step {step['path']} started"
        yield RoutineRunLogRow(ts=step["started_at"], level="info", message=message, type="pipeline.step.started")


def _ended(steps: Sequence[Any], named: str) -> Iterator[RoutineRunLogRow]:
    for step in steps:
        state = RoutineStepState(step["state"])
        if state not in ENDS_OF_STEPS:
            continue
        attempts = f" in attempt {step['attempt']}" if step["attempt"] > 1 else ""
        text = f": {cut(step['error'], SHOWN)}" if step["error"] else ""
        yield RoutineRunLogRow(
            ts=step["ended_at"],
            level="error" if state is RoutineStepState.failed else "info",
            message=f"{named} step {step['path']} {ENDS_OF_STEPS[state]}{attempts}{text}",
            type=f"pipeline.step.{state.value}",
        )


def _of_waitpoint(waitpoint: Waitpoint, named: str) -> Iterator[RoutineRunLogRow]:
    step = f"{named} step {waitpoint.path}"
    yield RoutineRunLogRow(ts=waitpoint.created_at, level="info", message=f"{step} waits for an approval")
    if waitpoint.decided_at is not None and waitpoint.status in DECISIONS:
        by = " by a standing approval" if waitpoint.grant_id is not None else ""
        message = f"{step} {DECISIONS[waitpoint.status]}{by}"
        level = "info" if waitpoint.status is WaitpointStatus.approved else "warn"
        yield RoutineRunLogRow(ts=waitpoint.decided_at, level=level, message=message, type="waitpoint.decided")
