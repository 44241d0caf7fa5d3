"""Spending in a window of time: by crew, agent, mission and subscription (contract: spend).

Days that are in the window as a whole are read from the sums of days, the rest from the ledger: a window of many days
reads few rows. See docs/costs.md.
"""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Final

from pydantic import Field, PlainValidator, WithJsonSchema
from sqlalchemy import BigInteger, Date, cast, func, literal, select, union_all
from sqlalchemy import Text as SQLText

from models.resources.costs import BillingMode, CostDay, ModelCall
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.kernel import ENDS, Action, Context, Id, Input, Output, Subject, constant, procedure
from resolvers.kernel.declarations.events import Time
from resolvers.kernel.ground.inputs import whole
from resolvers.resources.costs.money import MILLION, sum_of
from resolvers.rules import times

RANGES: Final = {name: timedelta(hours=hours) for name, hours in (("1h", 1), ("24h", 24), ("7d", 168), ("30d", 720))}
DEFAULT: Final = RANGES["7d"]
NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
"""The time of the first and the last call where there is none (contract: spend.objects.MissionSpend)."""
MOST_ROWS: Final = 1_000
TOP: Final = 10
MOST_TOP: Final = 100
SUMMED: Final = ("cost_micros", "calls", "input_tokens", "output_tokens")
ONE: Any = constant(1)
NOTHING: Any = constant("", SQLText())
UNKNOWN: Any = constant("unknown", SQLText())
FLAT: Any = constant(BillingMode.flat_rate)


def _documented(kind: str, what: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind}, {"type": "null"}], "description": f"{what} Others are ignored."})


Range = Annotated[
    str | None,
    PlainValidator(lambda raw: raw if isinstance(raw, str) and raw in RANGES else None),
    _documented("string", "1h, 24h, 7d or 30d."),
    ENDS,
]
Moment = Annotated[
    datetime | None,
    PlainValidator(times.read),
    _documented("string", "A time of RFC 3339, or a date."),
    ENDS,
]


def _limit(raw: Any) -> int:
    number = whole(raw)
    return number if number is not None and 1 <= number <= MOST_TOP else TOP


Limit = Annotated[
    int,
    PlainValidator(_limit),
    Field(ge=1, le=MOST_TOP),
    _documented("integer", "1 to 100, 10 by default."),
    ENDS,
]


class SpendSince(Input):
    """The window begins a `range` before its end, or at `since`: 7 days by default. A `range` precedes `since`. Values
    that are no range or time are ignored.
    """

    range: Range = None
    since: Moment = None

    def begin(self, end: datetime) -> datetime:
        if self.range is None and self.since is not None:
            return self.since
        return end - RANGES.get(self.range or "", DEFAULT)


class SpendWindow(SpendSince):
    """The window ends at `until`, or now; both ends are inclusive. It begins a `range` before now, or at `since`: 7
    days before now by default. A `range` precedes `since`. Values that are no range or time are ignored.
    """

    until: Moment = None


class SpendOfCrew(SpendWindow):
    crew_id: Id


class OfMission(Input):
    mission_id: Id


class FindTopSpenders(SpendSince):
    """The window ends now. It begins a `range` before, or at `since`: 7 days before now by default. A `range` precedes
    `since`. Values that are no range, time or limit are ignored.
    """

    limit: Limit = TOP


class SpendSum(Output):
    """Sums of model calls; a call without a known price counts as free. `input_tokens` exclude tokens read from or
    written to a cache.
    """

    cost_usd: float
    call_count: int
    input_tokens: int
    output_tokens: int


class CrewSpend(SpendSum):
    """The spending of a crew. `crew_id` is empty for calls without a crew."""

    crew_id: str


class AgentSpend(SpendSum):
    """The spending of an agent. `agent_id` is empty for calls without an agent."""

    agent_id: str


class MissionSpend(SpendSum):
    """The spending of a mission or issue in its whole life. `first_ts` and `last_ts` are the times of its first and
    last call: the year 1 without any.
    """

    mission_id: str
    first_ts: Time
    last_ts: Time


class TopSpender(Output):
    """An agent with its spending; `scope_id` is its id."""

    scope_kind: str
    scope_id: str
    cost_usd: float
    call_count: int


class PlanUsage(Output):
    """The use of a subscription. `subscription_plan` is `unknown` for calls that name none."""

    subscription_plan: str
    provider: str
    call_count: int
    input_tokens: int
    output_tokens: int
    last_ts: Time


class SpendByCrew(Output):
    """The spending of crews in a window of time, by cost, descending; at most 1,000."""

    rows: list[CrewSpend]
    since: Time
    until: Time


class SpendByAgent(Output):
    """The spending of a crew's agents in a window of time, by cost, descending; at most 1,000."""

    rows: list[AgentSpend]
    crew_id: str


class SpendByMission(Output):
    """The spending of one mission or issue."""

    row: MissionSpend
    mission_id: str


class TopSpenders(Output):
    """The agents that spent most in a window of time, by cost, descending."""

    rows: list[TopSpender]
    limit: int
    since: Time


class SubscriptionUsage(Output):
    """The use of subscriptions in a window of time, by calls, descending; at most 1,000."""

    rows: list[PlanUsage]
    since: Time
    until: Time


@procedure("spend.by_crew", Action.READ)
async def spend_by_crew(ctx: Context, data: SpendWindow) -> SpendByCrew:
    """Get the spending of each crew.

    A call counts for the crew that its agent had at the time.
    """
    since, until = await _ends(ctx, data)
    rows = await ctx.report(_by(spent_between(ctx, since, until), "crew_id"))
    return SpendByCrew(rows=[CrewSpend(crew_id=row["crew_id"], **sums(row)) for row in rows], since=since, until=until)


@procedure("spend.by_agent", Action.READ, subject=Subject(Crew, "crew_id"))
async def spend_by_agent(ctx: Context, crew: Crew, data: SpendOfCrew) -> SpendByAgent:
    """Get the spending of each agent of a crew.

    Sums the calls that agents made for the crew.
    """
    spent = spent_between(ctx, *await _ends(ctx, data), crew_id=crew.id)
    rows = await ctx.report(_by(spent, "agent_id"))
    return SpendByAgent(rows=[AgentSpend(agent_id=row["agent_id"], **sums(row)) for row in rows], crew_id=crew.id)


@procedure("spend.by_mission", Action.READ, subject=Subject(Mission, "mission_id"))
async def spend_by_mission(ctx: Context, mission: Mission, data: OfMission) -> SpendByMission:
    """Get the spending of a mission.

    Covers the whole life of the mission or issue.
    """
    calls = ctx.table(ModelCall).c
    times_of = [func.min(calls.created_at).label("first"), func.max(calls.created_at).label("last")]
    totals = [func.count().label("calls"), *[sum_of(calls[name]).label(name) for name in SUMMED if name != "calls"]]
    (row,) = await ctx.report(select(*totals, *times_of).where(calls.mission_id == mission.id))
    first, last = row["first"] or NEVER, row["last"] or NEVER
    spent = MissionSpend(mission_id=mission.id, first_ts=first, last_ts=last, **sums(row))
    return SpendByMission(row=spent, mission_id=mission.id)


@procedure("spend.top", Action.READ)
async def find_top_spenders(ctx: Context, data: FindTopSpenders) -> TopSpenders:
    """Get the agents that spent most.

    Calls without an agent are left out.
    """
    until = await ctx.now()
    since = data.begin(until)
    spent = spent_between(ctx, since, until)
    rows = await ctx.report(_by(spent, "agent_id", most=data.limit).where(spent.c.agent_id != NOTHING))
    return TopSpenders(
        rows=[
            TopSpender(
                scope_kind="agent",
                scope_id=row["agent_id"],
                cost_usd=int(row["cost_micros"]) / MILLION,
                call_count=int(row["calls"]),
            )
            for row in rows
        ],
        limit=data.limit,
        since=since,
    )


@procedure("spend.subscriptions", Action.READ)
async def get_subscription_usage(ctx: Context, data: SpendWindow) -> SubscriptionUsage:
    """Get the use of subscriptions.

    Counts calls at a flat rate by plan and provider, without money.
    """
    since, until = await _ends(ctx, data)
    calls = ctx.table(ModelCall).c
    plan = func.coalesce(func.nullif(calls.subscription_plan, NOTHING), UNKNOWN).label("subscription_plan")
    number, tokens = func.count().label("calls"), [sum_of(calls[name]).label(name) for name in SUMMED[2:]]
    found = select(plan, calls.provider, number, *tokens, func.max(calls.created_at).label("last_ts"))
    found = found.where(calls.billing_mode == FLAT, calls.created_at.between(literal(since), literal(until)))
    found = found.group_by(plan.element, calls.provider).order_by(number.desc(), plan.element, calls.provider)
    rows = [
        PlanUsage(
            call_count=row["calls"],
            **{name: row[name] for name in ("subscription_plan", "provider", "last_ts")},
            **{name: int(row[name]) for name in SUMMED[2:]},
        )
        for row in await ctx.report(found.limit(MOST_ROWS))
    ]
    return SubscriptionUsage(rows=rows, since=since, until=until)


async def _ends(ctx: Context, data: SpendWindow) -> tuple[datetime, datetime]:
    now = await ctx.now()
    return data.begin(now), data.until or now


def spent_between(ctx: Context, since: datetime, until: datetime, **wanted: str) -> Any:
    """A row of each sum of a day and of each other call in the window, as a FROM entry. `wanted`: columns and their
    values.
    """
    days, calls = ctx.table(CostDay).c, ctx.table(ModelCall).c
    of_call = [func.coalesce(calls[key], NOTHING).label(key) for key in ("crew_id", "agent_id")]
    counted = [func.coalesce(calls.cost_micros, constant(0)), cast(ONE, BigInteger)]
    counted += [calls[name] for name in SUMMED[2:]]
    numbers = [column.label(name) for column, name in zip(counted, SUMMED, strict=True)]
    own = [calls[key] == value for key, value in wanted.items()]
    parts = [
        select(*of_call, *numbers).where(calls.created_at.between(literal(begin), literal(end)), *own)
        for begin, end in _beside_whole_days(since, until)
    ]
    inside = [days[key] == value for key, value in wanted.items()]
    inside += [days.day >= literal(_first_whole(since), Date()), days.day < literal(_midnight(until), Date())]
    parts.append(select(days.crew_id, days.agent_id, *[days[name] for name in SUMMED]).where(*inside))
    return union_all(*parts).subquery("spent")


def _first_whole(since: datetime) -> Any:
    """The first day that begins at that time or later."""
    at = since.astimezone(UTC)
    return at.date() if at.time() == time() else at.date() + timedelta(1)


def _midnight(until: datetime) -> Any:
    return until.astimezone(UTC).date()


def _beside_whole_days(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The parts of the window that are no whole days; their ends are inclusive."""
    first, last = _first_whole(since), _midnight(until)
    if first >= last:
        return [(since, until)]
    midnight, microsecond = datetime.combine(first, time(), UTC), timedelta(microseconds=1)
    before = [(since, midnight - microsecond)] if since < midnight else []
    return [*before, (datetime.combine(last, time(), UTC), until)]


def _by(spent: Any, key: str, most: int = MOST_ROWS) -> Any:
    summed = [sum_of(spent.c[name]).label(name) for name in SUMMED]
    made = select(spent.c[key], *summed).group_by(spent.c[key])
    return made.order_by(summed[0].desc(), spent.c[key]).limit(most)


def sums(row: Any) -> dict[str, Any]:
    tokens = {name: int(row[name]) for name in SUMMED[2:]}
    return {"cost_usd": int(row["cost_micros"]) / MILLION, "call_count": int(row["calls"]), **tokens}
