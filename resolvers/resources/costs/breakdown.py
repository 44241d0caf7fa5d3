"""The breakdown of costs by two groupings at once, such as the days of each agent."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from sqlalchemy import func, literal, select

from models.resources.costs import CostDay, ModelCall, ModelPrice
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import GRAPHQL_ONLY, Context, Id, Input, Output, Text, procedure
from resolvers.kernel.ground.constants import DATE
from resolvers.resources.costs.ledger import MONEY
from resolvers.resources.costs.report import SUMMED, CostGroup, CostSum, Day, numbers, sums_of, wanted_days, window

MOST_CELLS = 5_000
MOST_MODELS = 100
NAMED: dict[CostGroup, Any] = {CostGroup.agent: Agent, CostGroup.crew: Crew}
COLUMNS = {CostGroup.day: "day", CostGroup.agent: "agent_id", CostGroup.crew: "crew_id", CostGroup.model: "model"}


def _different(groups: list[CostGroup]) -> list[CostGroup]:
    return list(dict.fromkeys(groups))


Groups = Annotated[list[CostGroup], Field(min_length=1, max_length=2, fail_fast=True), AfterValidator(_different)]


class BreakDownCosts(Input):
    """`group_by`: one grouping or two. `since` and `until` are days by UTC, both inclusive: the last 30 days by
    default. Filters match exactly.
    """

    group_by: Groups = Field(default_factory=lambda: [CostGroup.day])
    since: Day | None = None
    until: Day | None = None
    agent_id: Id | None = None
    crew_id: Id | None = None
    model: Text | None = None


class CostCell(CostSum):
    """Sums of model calls, with one key per grouping. `keys`: days, ids of agents or crews, or models; empty without
    one. `names`: names of agents and crews, otherwise the keys.
    """

    keys: list[str]
    names: list[str]


class UnpricedModel(Output):
    """A model with calls whose price is not known; they count as free. `priced`: the workspace has set a price for
    later calls.
    """

    model: str
    calls: int
    priced: bool


class CostBreakdown(Output):
    """Tokens and costs of model calls by one grouping or two. Cells come by day, then by cost, descending; at most
    5,000. `total` covers all. `unpriced`: models without a known price.
    """

    since: str
    until: str
    total: CostSum
    unpriced: list[UnpricedModel]
    cells: list[CostCell]


@procedure("costs.break_down", MONEY, surfaces=GRAPHQL_ONLY)
async def break_down_costs(ctx: Context, data: BreakDownCosts) -> CostBreakdown:
    """Get a breakdown of costs.

    Sums tokens and costs of model calls by one or two of day, agent, crew and model.
    """
    since, until = window(data.since, data.until)
    filters = {"agent_id": data.agent_id, "crew_id": data.crew_id, "model": data.model}
    days = ctx.table(CostDay).c
    wanted = wanted_days(days, since, until, **filters)
    (whole,) = await ctx.report(select(*sums_of(days)).where(*wanted))
    cells = await ctx.report(_cells(ctx, data.group_by, days, wanted))
    free = await ctx.report(_unpriced(ctx, since, until, filters))
    return CostBreakdown(
        since=since.isoformat(),
        until=until.isoformat(),
        total=CostSum(**numbers(whole)),
        unpriced=[UnpricedModel(**row) for row in free],
        cells=[_cell(row, len(data.group_by)) for row in cells],
    )


def _cells(ctx: Context, groups: list[CostGroup], days: Any, wanted: list[Any]) -> Any:
    """The sums first, then the names, so that few rows look for them."""
    keys = [days[COLUMNS[group]].label(f"key_{at}") for at, group in enumerate(groups)]
    order = [key for key, group in zip(keys, groups, strict=True) if group is CostGroup.day]
    sums = sums_of(days)
    summed = select(*keys, *sums).where(*wanted).group_by(*keys).order_by(*order, sums[-1].desc(), *keys)
    rows: Any = summed.limit(MOST_CELLS).subquery("summed")
    made, source = [rows.c[name] for name in SUMMED], rows
    for at, group in enumerate(groups):
        key: Any = rows.c[f"key_{at}"]
        shown = func.to_char(key, "YYYY-MM-DD") if group is CostGroup.day else key
        name = shown
        if group in NAMED:
            named = ctx.table(NAMED[group], including_deleted=True)
            source = source.outerjoin(named, named.c.id == key)
            name = func.coalesce(named.c.name, key)
        made += [shown.label(f"key_{at}"), name.label(f"name_{at}")]
    again = [rows.c[f"key_{at}"] for at, group in enumerate(groups) if group is CostGroup.day]
    return select(*made).select_from(source).order_by(*again, rows.c.cost_micros.desc(), *rows.c[: len(groups)])


def _cell(row: Any, groups: int) -> CostCell:
    keys, names = ([row[f"{what}_{at}"] for at in range(groups)] for what in ("key", "name"))
    return CostCell(keys=keys, names=names, **numbers(row))


def _unpriced(ctx: Context, since: date, until: date, filters: dict[str, str | None]) -> Any:
    calls = ctx.table(ModelCall).c
    first = datetime.combine(since, time(), UTC)
    conditions = [calls.cost_micros.is_(None), calls.created_at >= literal(first)]
    if until < date.max:
        conditions.append(calls.created_at < literal(datetime.combine(until + timedelta(1), time(), UTC)))
    conditions += [calls[key] == value for key, value in filters.items() if value is not None]
    number, prices = func.count().label("calls"), ctx.table(ModelPrice).c
    priced = select(prices.id).where(prices.model == calls.model, prices.since <= DATE).exists().label("priced")
    made = select(calls.model, number, priced).where(*conditions).group_by(calls.model)
    return made.order_by(number.desc(), calls.model).limit(MOST_MODELS)
