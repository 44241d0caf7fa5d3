"""Charts: events of a workspace, in buckets of time."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import DateTime, Interval, and_, func, select, union_all
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Double
from sqlalchemy.types import Text as SQLText

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Mission, MissionStatus, MissionType
from resolvers.kernel import Action, Code, Context, Domain, Input, Output, Refusal, Text, constant, procedure

DOMAIN = Domain("metrics", scopes="workspace")

WINDOWS: Final = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
BUCKETS: Final = {"15m": timedelta(minutes=15), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
MOST_BUCKETS: Final = 200
MOST_SERIES: Final = 100  # those with the largest sums
CLOSED: Final = (MissionStatus.DONE, MissionStatus.COMPLETED, MissionStatus.REVIEW)
TIME = DateTime(timezone=True)
EPOCH: Any = constant(datetime(1970, 1, 1, tzinfo=UTC), TIME)
MORE: Any = constant(1.0, Double())
LESS: Any = constant(-1.0, Double())
ZERO: Any = constant(0.0, Double())
TOTAL, UNASSIGNED, UNKNOWN = "total", "unassigned", "unknown"


class Metric(StrEnum):
    """`issues_closed`: issues completed in the bucket that are DONE, COMPLETED or REVIEW.

    `cost_usd`: estimated cost of missions, at the time of their last update. `runs_count`: runs started in the bucket.
    `active_missions`: missions created before the end of the bucket, and not completed by then.
    """

    issues_closed = "issues_closed"
    cost_usd = "cost_usd"
    runs_count = "runs_count"
    active_missions = "active_missions"


class MetricGroupBy(StrEnum):
    """The label of a series."""

    none = "none"
    crew = "crew"
    model = "model"
    status = "status"


GROUPED: Final = {
    Metric.issues_closed: (MetricGroupBy.crew, MetricGroupBy.status),
    Metric.cost_usd: (MetricGroupBy.model,),
    Metric.runs_count: (MetricGroupBy.crew,),
    Metric.active_missions: (MetricGroupBy.status,),
}


def _one_of(choices: dict[str, timedelta]) -> Any:
    listed = ", ".join(choices)

    def known(value: str) -> str:
        if value not in choices:
            raise PydanticCustomError("window", f"must be one of {listed}")
        return value

    return known


class ChartMetric(Input):
    """`window` is `24h`, `7d` or `30d`; `bucket` is `15m`, `1h` or `1d`, and shorter than the window. There are at most
    200 buckets.

    `group_by` is `crew` for `issues_closed` and `runs_count`, `model` for `cost_usd`, and `status` for `issues_closed`
    and `active_missions`.
    """

    metric: Metric
    window: Annotated[Text, AfterValidator(_one_of(WINDOWS)), Field(json_schema_extra={"enum": list(WINDOWS)})] = "24h"
    bucket: Annotated[Text, AfterValidator(_one_of(BUCKETS)), Field(json_schema_extra={"enum": list(BUCKETS)})] = "1h"
    group_by: MetricGroupBy = MetricGroupBy.none


class MetricPoint(Output):
    """A bucket of a time series. `ts` is the start of the bucket; `series` the value of each series in it, by key."""

    ts: datetime
    series: dict[str, float]


class TimeSeries(Output):
    """Buckets of a metric, aligned to UTC, oldest first and without gaps; the last one is the current one.

    Without `group_by` every bucket has the series `total`. Otherwise series without a value are omitted from a bucket;
    `series_labels` names those that occur, at most the 100 with the largest sums.
    """

    metric: Metric
    window: str
    bucket: str
    group_by: MetricGroupBy
    buckets: list[MetricPoint]
    series_labels: dict[str, str]


def _text(value: str) -> Any:
    return constant(value, SQLText())


class Chart:
    """The statement of a chart. Events are counted by bucket and key; states are counted by their begins and ends, and
    summed up.
    """

    def __init__(self, ctx: Context, data: ChartMetric) -> None:
        self.ctx, self.data = ctx, data
        width, window = BUCKETS[data.bucket], WINDOWS[data.window]
        self.width: Any = constant(width, Interval())
        self.last = self.bucket_of(func.now())
        self.first = self.last - constant(window - width, Interval())

    def bucket_of(self, time: Any) -> Any:
        return func.date_bin(self.width, time, EPOCH, type_=TIME)

    def within(self, time: Any) -> Any:
        return and_(time >= self.first, time < self.last + self.width)

    def counted(self) -> Any:
        """SELECT of ts, key, label and value."""
        counters = {
            Metric.issues_closed: self._issues_closed,
            Metric.cost_usd: self._cost_usd,
            Metric.runs_count: self._runs_count,
            Metric.active_missions: self._active_missions,
        }
        return counters[self.data.metric]()

    def _select(self, ts: Any, key: Any, label: Any, value: Any) -> Any:
        if self.data.group_by is MetricGroupBy.none:
            key, label = _text(TOTAL), _text("Total")
        return select(ts.label("ts"), key.label("key"), label.label("label"), value.label("value"))

    def _issues_closed(self) -> Any:
        issue = self.ctx.table(Mission)
        crew = self.ctx.table(Crew, including_deleted=True)
        key, label, rows = issue.c.status, issue.c.status, issue
        if self.data.group_by is MetricGroupBy.crew:
            rows = issue.outerjoin(crew, crew.c.id == issue.c.crew_id)
            key, label = issue.c.crew_id, func.coalesce(crew.c.name, issue.c.crew_id)
        made = self._select(self.bucket_of(issue.c.completed_at), key, label, MORE)
        return made.select_from(rows).where(
            issue.c.mission_type == MissionType.issue, issue.c.status.in_(CLOSED), self.within(issue.c.completed_at)
        )

    def _cost_usd(self) -> Any:
        mission, agent = self.ctx.table(Mission), self.ctx.table(Agent, including_deleted=True)
        model = func.coalesce(func.nullif(agent.c.llm_model, _text("")), _text(UNKNOWN))
        made = self._select(self.bucket_of(mission.c.updated_at), model, model, mission.c.total_estimated_cost)
        rows = mission.outerjoin(agent, agent.c.id == mission.c.lead_agent_id)
        return made.select_from(rows).where(
            mission.c.total_estimated_cost.is_not(None), self.within(mission.c.updated_at)
        )

    def _runs_count(self) -> Any:
        run = self.ctx.table(Run)
        key, label, rows = _text(TOTAL), _text(TOTAL), run
        if self.data.group_by is MetricGroupBy.crew:
            agent, crew = (self.ctx.table(model, including_deleted=True) for model in (Agent, Crew))
            rows = run.outerjoin(agent, agent.c.id == run.c.agent_id).outerjoin(crew, crew.c.id == agent.c.crew_id)
            key = func.coalesce(agent.c.crew_id, _text(UNASSIGNED))
            label = func.coalesce(crew.c.name, agent.c.crew_id, _text(UNASSIGNED.title()))
        made = self._select(self.bucket_of(run.c.began_at), key, label, MORE)
        return made.select_from(rows).where(run.c.started_at.is_not(None), self.within(run.c.began_at))

    def _active_missions(self) -> Any:
        """One more from the bucket in which a mission was created, one less from that in which it was completed."""
        mission = self.ctx.table(Mission).c
        born = func.greatest(self.bucket_of(mission.created_at), self.first)
        alive = and_(
            mission.created_at < self.last + self.width,
            (mission.completed_at.is_(None)) | (mission.completed_at >= self.first),
        )
        begun = self._select(born, mission.status, mission.status, MORE).where(alive)
        ended = self._select(
            func.greatest(self.bucket_of(mission.completed_at), born), mission.status, mission.status, LESS
        ).where(mission.created_at < self.last + self.width, self.within(mission.completed_at))
        return union_all(begun, ended)

    def statement(self) -> Any:
        """A row for each bucket: its start, the values by key, and the labels."""
        moved = self.counted().cte("moved")
        summed = (
            select(
                moved.c.ts, moved.c.key, func.max(moved.c.label).label("label"), func.sum(moved.c.value).label("value")
            )
            .group_by(moved.c.ts, moved.c.key)
            .cte("summed")
        )
        largest = (
            select(summed.c.key, func.max(summed.c.label).label("label"))
            .group_by(summed.c.key)
            .order_by(func.sum(summed.c.value).desc(), summed.c.key)
            .limit(MOST_SERIES)
            .subquery("largest")
        )
        bucket: Any = (
            func.generate_series(self.first, self.last, self.width).table_valued("ts").render_derived(name="bucket")
        )
        keys = bucket.outerjoin(largest, constant(True))
        joined = keys.outerjoin(summed, and_(summed.c.ts == bucket.c.ts, summed.c.key == largest.c.key))
        value: Any = summed.c.value
        if self.data.metric is Metric.active_missions:
            value = func.nullif(func.sum(value).over(partition_by=largest.c.key, order_by=bucket.c.ts), ZERO)
        points = (
            select(bucket.c.ts, largest.c.key, largest.c.label, value.label("value")).select_from(joined).subquery("p")
        )
        p = points.c
        there = p.value.is_not(None)
        values, labels = (
            func.coalesce(func.jsonb_object_agg(p.key, what).filter(there), constant({}), type_=JSONB())
            for what in (p.value, p.label)
        )
        return select(p.ts.label("ts"), values.label("series"), labels.label("labels")).group_by(p.ts).order_by(p.ts)


@procedure("metrics.timeseries", Action.READ)
async def metrics_timeseries(ctx: Context, data: ChartMetric) -> TimeSeries:
    """Get a metric over time.

    Returns buckets aligned to UTC, for charts.
    """
    _check(data)
    labels = {TOTAL: "Total"} if data.group_by is MetricGroupBy.none else {}
    points = []
    for ts, series, named in await ctx.report(Chart(ctx, data).statement()):
        labels |= named
        given = dict.fromkeys(labels, 0.0) | series if data.group_by is MetricGroupBy.none else series
        points.append(MetricPoint(ts=ts, series=given))
    return TimeSeries(
        metric=data.metric,
        window=data.window,
        bucket=data.bucket,
        group_by=data.group_by,
        buckets=points,
        series_labels=labels,
    )


def _check(data: ChartMetric) -> None:
    window, bucket = WINDOWS[data.window], BUCKETS[data.bucket]
    if bucket >= window:
        raise Refusal(Code.BAD_REQUEST, "The bucket must be shorter than the window")
    if window / bucket > MOST_BUCKETS:
        raise Refusal(Code.BAD_REQUEST, f"More than {MOST_BUCKETS} buckets: choose a longer bucket or a shorter window")
    if data.group_by is not MetricGroupBy.none and data.group_by not in GROUPED[data.metric]:
        allowed = ", ".join(GROUPED[data.metric])
        raise Refusal(Code.BAD_REQUEST, f"group_by of {data.metric} is none or {allowed}")
