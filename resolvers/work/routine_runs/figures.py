"""Figures of the runs of a workspace, for steps of the type `query`."""

from datetime import timedelta
from typing import Any, Final

import orjson
from sqlalchemy import desc, func, select

from models.work.routine_runs import RoutineRun, RoutineRunStatus
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import Context

MOST_ROUTINES: Final = 5
"""contract: routines-dsl.query, top_failures"""
COUNTED: Final = (
    RoutineRunStatus.completed,
    RoutineRunStatus.failed,
    RoutineRunStatus.waiting,
    RoutineRunStatus.cancelled,
)


async def figures_of(ctx: Context, hours: int) -> str:
    """JSON: runs that began in the last `hours`, by their status, and the routines that failed most often."""
    since = await ctx.now() - timedelta(hours=hours)
    runs = ctx.table(RoutineRun)
    recent = select(runs.c.status, func.count(), func.sum(runs.c.cost_usd)).where(runs.c.started_at >= since)
    rows = await ctx.report(recent.group_by(runs.c.status))
    numbers = {row[0]: row[1] for row in rows}
    figures: dict[str, Any] = {"window_hours": hours, "total_runs": sum(numbers.values())}
    figures |= {status.value: numbers.get(status.value, 0) for status in COUNTED}
    figures["total_cost_usd"] = sum(row[2] for row in rows)
    if failures := await _failures(ctx, since):
        figures["top_failures"] = failures
    figures["summary_md"] = (
        f"**{figures['total_runs']} runs in {hours} h**: {figures['completed']} completed, {figures['failed']} failed,"
        f" {figures['waiting']} waiting, {figures['cancelled']} cancelled"
    )
    return orjson.dumps(figures).decode()


async def _failures(ctx: Context, since: Any) -> list[dict[str, Any]]:
    runs, routines = ctx.table(RoutineRun), ctx.table(SavedRoutine, including_deleted=True)
    failed = (runs.c.started_at >= since, runs.c.status == RoutineRunStatus.failed)
    joined = select(routines.c.slug, func.count().label("times")).join(routines, routines.c.id == runs.c.routine_id)
    order: tuple[Any, ...] = (desc("times"), routines.c.slug)
    found = joined.where(*failed).group_by(routines.c.slug).order_by(*order).limit(MOST_ROUTINES)
    return [{"pipeline_slug": row[0], "count": row[1]} for row in await ctx.report(found)]
