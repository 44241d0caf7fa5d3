"""Failures of runs of routines, grouped by what is the same in them."""

from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema
from sqlalchemy import Text, desc, func, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from models.work.routine_runs import RoutineRun, RoutineRunStatus
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import ENDS, Action, Context, Input, Output, constant, procedure
from resolvers.kernel.ground.inputs import whole

LOOKED_AT: Final = 10_000
"""The newest failures of a workspace that are grouped."""
MOST_RUNS: Final = 100
GROUPS: Final = 50
MOST_GROUPS: Final = 200


def _limit(raw: Any) -> int:
    number = whole(raw)
    return number if number is not None and 1 <= number <= MOST_GROUPS else GROUPS


class ListRoutineFailures(Input):
    """`limit`: 1 to 200 groups, 50 by default and for other values."""

    limit: Annotated[
        int, PlainValidator(_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_GROUPS}), ENDS
    ] = GROUPS


class FailureGroup(Output):
    """Failures that differ only in ids, times and numbers. The sample is of the newest; `run_ids` are newest first, at
    most 100.
    """

    fingerprint: str
    count: int
    pipeline_slug: str
    failed_at_step: str
    sample_error: str
    run_ids: list[str]


class RoutineFailures(Output):
    """Groups of failures, with the newest failure first."""

    groups: list[FailureGroup]


@procedure("routines.errors", Action.READ)
async def list_routine_failures(ctx: Context, data: ListRoutineFailures) -> RoutineFailures:
    """List failures of runs of routines by their cause.

    Groups the newest 10,000 failures of the workspace by their fingerprint. Runs of deleted routines are left out.
    """
    return RoutineFailures(groups=[FailureGroup(**row) for row in await ctx.report(_groups(ctx, data.limit))])


def _groups(ctx: Context, limit: int) -> Any:
    runs, routine = ctx.table(RoutineRun).c, ctx.table(SavedRoutine).c
    failed = runs.status == constant(RoutineRunStatus.failed)
    newest = select(runs.id, runs.routine_id, runs.started_at, runs.error_fingerprint).where(failed)
    in_order = newest.order_by(runs.started_at.desc(), runs.id.desc()).limit(LOOKED_AT).subquery().c
    order = aggregate_order_by(in_order.id, in_order.started_at.desc(), in_order.id.desc())
    joined = select(
        in_order.error_fingerprint.label("fingerprint"),
        func.count().label("count"),
        func.array_agg(order, type_=ARRAY(Text)).label("ids"),
        func.max(in_order.started_at).label("at"),
    ).where(in_order.error_fingerprint.is_not(None), routine.id == in_order.routine_id)
    groups = joined.group_by(in_order.error_fingerprint).order_by(desc("at"), desc("fingerprint")).limit(limit)
    group, sample, owner = groups.subquery().c, ctx.table(RoutineRun).c, ctx.table(SavedRoutine).c
    empty = constant("", Text())
    return (
        select(
            group.fingerprint,
            group.count,
            owner.slug.label("pipeline_slug"),
            func.coalesce(sample.failed_at_step, empty).label("failed_at_step"),
            func.coalesce(sample.error_message, empty).label("sample_error"),
            group.ids[1:MOST_RUNS].label("run_ids"),
        )
        .where(sample.id == group.ids[1], owner.id == sample.routine_id)
        .order_by(group.at.desc(), group.fingerprint.desc())
    )
