"""Metrics of a workspace's missions."""

from typing import Any

from sqlalchemy import BigInteger, Double, cast, func, select

from models.work.missions import Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.kernel import Action, Context, NoInput, Output, constant, interval, procedure

ACTIVE = (MissionStatus.IN_PROGRESS, MissionStatus.PLANNING, MissionStatus.REVIEW)
DAY_AGO: Any = func.now() - interval(hours=24)


class MissionMetrics(Output):
    """Counts of missions and tasks. `total_missions` counts issues, too. Tokens and costs cover tasks that ended within
    the last 24 hours.
    """

    total_missions: int
    active_missions: int
    completed_24h: int
    failed_24h: int
    total_tokens_24h: int
    total_cost_24h: float
    avg_completion_time_ms: int
    tasks_completed_24h: int
    tasks_failed_24h: int


@procedure("missions.metrics", Action.READ, tickets=True)
async def mission_metrics(ctx: Context, data: NoInput) -> MissionMetrics:
    """Get mission metrics.

    Counts missions and tasks, with their tokens and costs in the last 24 hours.
    """
    (found,) = await ctx.report(select(*_of_missions(ctx), *_of_tasks(ctx)))
    return MissionMetrics(**{name: found[name] for name in MissionMetrics.model_fields})


def _one(column: Any, rows: Any, *conditions: Any) -> Any:
    return select(column).select_from(rows).where(*conditions).scalar_subquery()


def _of_missions(ctx: Context) -> list[Any]:
    rows = ctx.table(Mission)
    completed = (rows.c.status == MissionStatus.COMPLETED, rows.c.completed_at >= DAY_AGO)
    took = func.avg(func.extract("epoch", rows.c.completed_at - rows.c.created_at) * 1000)
    return [
        _one(func.count(), rows).label("total_missions"),
        _one(func.count(), rows, rows.c.status.in_(ACTIVE)).label("active_missions"),
        _one(func.count(), rows, *completed).label("completed_24h"),
        _one(func.count(), rows, rows.c.status == MissionStatus.FAILED, rows.c.updated_at >= DAY_AGO).label(
            "failed_24h"
        ),
        _one(cast(func.coalesce(took, 0), BigInteger), rows, *completed).label("avg_completion_time_ms"),
    ]


def _of_tasks(ctx: Context) -> list[Any]:
    rows = ctx.table(MissionTask)
    ended = rows.c.completed_at >= DAY_AGO
    failed: Any = rows.c.status == constant(TaskStatus.FAILED)  # as the index has it
    tokens = cast(func.coalesce(func.sum(rows.c.token_count), 0), BigInteger)
    cost: Any = cast(func.coalesce(func.sum(rows.c.estimated_cost), 0), Double())
    return [
        _one(tokens, rows, ended).label("total_tokens_24h"),
        _one(cost, rows, ended).label("total_cost_24h"),
        _one(func.count(), rows, ended, rows.c.status == TaskStatus.COMPLETED).label("tasks_completed_24h"),
        _one(func.count(), rows, failed, rows.c.updated_at >= DAY_AGO).label("tasks_failed_24h"),
    ]
