"""The report of costs: by day, agent, crew or model."""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import Date, func, literal, select

from models.bounds import NAME
from models.resources.costs import CostDay
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import Code, Context, Id, Input, Output, Refusal, Text, invalid, procedure
from resolvers.resources.costs.ledger import MONEY
from resolvers.resources.costs.money import MILLION, sum_of

MOST_ROWS = 1000
MOST_DAYS = 3660
DAYS = 30  # of a report that says nothing

SUMMED = ("calls", "input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_tokens", "cost_micros")


class CostGroup(StrEnum):
    """The grouping of a cost report."""

    day = "day"
    agent = "agent"
    crew = "crew"
    model = "model"


def _is_day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise PydanticCustomError("day", "must be a day, as YYYY-MM-DD") from None


Day = Annotated[str, Field(strict=True, max_length=NAME), AfterValidator(_is_day)]


class ReportCosts(Input):
    """`since` and `until` are days by UTC, both inclusive: the last 30 days by default. Filters match exactly."""

    group_by: CostGroup = CostGroup.day
    since: Day | None = None
    until: Day | None = None
    agent_id: Id | None = None
    crew_id: Id | None = None
    model: Text | None = None


class CostSum(Output):
    """Sums over model calls. `input_tokens` exclude tokens read from or written to a cache."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_creation_tokens: int
    cost_usd: float


class CostRow(CostSum):
    """A row of a cost report. `key` is a day, an agent or crew id, or a model; empty without one. `name` is the name of
    the agent or crew, otherwise the key.
    """

    key: str
    name: str


class CostReport(Output):
    """Tokens and costs of model calls. Days come in order, other rows by cost, descending; at most 1,000. `total`
    covers all.
    """

    group_by: CostGroup
    since: str
    until: str
    total: CostSum
    rows: list[CostRow]


@procedure("costs.report", MONEY, tickets=False)
async def report_costs(ctx: Context, data: ReportCosts) -> CostReport:
    """Get a cost report.

    Sums tokens and costs of model calls by day, agent, crew or model.
    """
    since, until = window(data.since, data.until)
    days = ctx.table(CostDay).c
    wanted = wanted_days(days, since, until, agent_id=data.agent_id, crew_id=data.crew_id, model=data.model)
    sums = sums_of(days)
    (whole,) = await ctx.report(select(*sums).where(*wanted))
    rows = await ctx.report(_grouped(ctx, data.group_by, days, sums, wanted))
    return CostReport(
        group_by=data.group_by,
        since=since.isoformat(),
        until=until.isoformat(),
        total=CostSum(**numbers(whole)),
        rows=[CostRow(key=row["key"], name=row["name"], **numbers(row)) for row in rows],
    )


def window(first: str | None, last: str | None) -> tuple[date, date]:
    until = date.fromisoformat(last) if last else datetime.now(UTC).date()
    before = max(until, date.min + timedelta(DAYS)) - timedelta(DAYS - 1)
    since = date.fromisoformat(first) if first else before
    if since > until:
        raise invalid("since", "must not be after until")
    if (until - since).days >= MOST_DAYS:
        raise Refusal(Code.BAD_REQUEST, f"since: a report covers at most {MOST_DAYS} days")
    return since, until


def wanted_days(days: Any, since: date, until: date, **filters: str | None) -> list[Any]:
    """The conditions on the sums of these days that fit all filters."""
    inside = [days.day >= literal(since, Date()), days.day <= literal(until, Date())]
    return inside + [days[key] == value for key, value in filters.items() if value is not None]


def sums_of(days: Any) -> list[Any]:
    return [sum_of(days[name]).label(name) for name in SUMMED]


def _grouped(ctx: Context, by: CostGroup, days: Any, sums: list[Any], wanted: list[Any]) -> Any:
    if by in (CostGroup.day, CostGroup.model):
        key = func.to_char(days.day, "YYYY-MM-DD") if by is CostGroup.day else days.model
        made = select(key.label("key"), key.label("name"), *sums).where(*wanted).group_by(key)
        return made.order_by(key if by is CostGroup.day else sums[-1].desc(), key).limit(MOST_ROWS)
    model, column = (Agent, days.agent_id) if by is CostGroup.agent else (Crew, days.crew_id)
    largest = select(column.label("key"), *sums).where(*wanted).group_by(column).order_by(sums[-1].desc(), column)
    summed = largest.limit(MOST_ROWS).subquery("summed")
    named = ctx.table(model, including_deleted=True)
    name = func.coalesce(named.c.name, summed.c.key).label("name")
    joined = summed.outerjoin(named, named.c.id == summed.c.key)
    return select(summed, name).select_from(joined).order_by(summed.c.cost_micros.desc(), summed.c.key)


def numbers(row: Any) -> dict[str, Any]:
    return {name: int(row[name]) for name in SUMMED[:-1]} | {"cost_usd": int(row["cost_micros"]) / MILLION}
