"""Monthly budgets of routines: what their runs have spent in a month, by UTC, and what runs may still spend.

A budget warns people. With a hard stop it also ends runs: a run reserves a part of it before it starts, as agents do of
the budgets of costs (docs/costs.md), so that runs at the same time do not pass it together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import Field
from sqlalchemy import func, or_, select
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import LINE, cut
from models.people.workspaces import Role
from models.work.routine_runs import RoutineRun, RoutineRunStatus
from models.work.saved_routines import SavedRoutine
from resolvers.attention.inbox.putting import put
from resolvers.kernel import (
    Absent,
    Action,
    Bool,
    Code,
    Context,
    Domain,
    Event,
    Float,
    NoInput,
    Output,
    Refusal,
    command,
    constant,
    procedure,
)
from resolvers.resources.costs.money import LARGEST, MILLION, micros_of, shown
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

DOMAIN = Domain("routine_budgets", scopes="routines")
MOST_ROWS: Final = 1_000
MOST_BODY: Final = 4 << 10
"""Bytes (contract: routine_budget.set)."""
PART: Final = 0.1
"""The part of a budget that a run reserves, if its routine does not say what it costs."""
WARNED_AT: Final = 0.8
DIGITS: Final = 6
"""Costs are counted in millionths of a US dollar."""
SPENT: Final = "The monthly budget of the routine is spent: {spent} of {amount}"
SET_ASIDE: Final = (
    "The rest of the monthly budget of the routine is reserved for active runs: {spent} of {amount} is spent;"
    " try again when these runs have ended"
)
_NOTHING: Any = constant(0.0)


class SetRoutineBudget(ByRoutineSlug):
    """`monthly_budget_usd`: 0 or absent clears the budget. `hard_stop`: it ends runs; absent leaves it as it is."""

    monthly_budget_usd: Annotated[Float, Field(ge=0, le=LARGEST)] = 0.0
    hard_stop: Bool | None = None


class RoutineBudget(Output):
    """The budget of a routine in the present month, by UTC. `spent_usd`: the costs of runs that began in it.
    `hard_stop` is true if the budget ends runs, and absent if it only warns.
    """

    slug: str
    has_budget: bool
    monthly_budget_usd: float
    month: str
    spent_usd: float
    pct_used: Annotated[float | None, Absent()] = None
    over_budget: Annotated[bool | None, Absent()] = None
    hard_stop: Annotated[bool | None, Absent()] = None


class RoutineBudgetSet(RoutineBudget):
    """The budget as it is now."""


class RoutineBudgetRow(Output):
    """A routine with a budget, or with runs that cost something in the month."""

    slug: str
    monthly_budget_usd: float
    spent_usd: float
    pct_used: Annotated[float | None, Absent()] = None
    over_budget: Annotated[bool | None, Absent()] = None


class RoutineBudgets(Output):
    """Budgets and costs of a month; the totals are of all routines, of which at most 1,000 are listed."""

    month: str
    routines: list[RoutineBudgetRow]
    total_budget_usd: float
    total_spent_usd: float


class RoutineBudgetReached(Event, type="pipeline.budget_reached", channel="workspace:{workspace_id}"):
    """Runs of a routine have spent four fifths of its budget of a month, or all of it: `exceeded` is true then."""

    pipeline_id: str
    pipeline_slug: str
    month: str
    exceeded: bool


@procedure("routine_budget.get", Action.READ, subject=ROUTINE)
async def get_routine_budget(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> RoutineBudget:
    """Get the monthly budget of a routine.

    With the costs of the runs that began in this month, by UTC.
    """
    return RoutineBudget(**await _shown(ctx, routine))


@command("routine_budget.set", Action.MANAGE, subject=ROUTINE, audit="routine.budget_set")
async def set_routine_budget(ctx: Context, routine: SavedRoutine, data: SetRoutineBudget) -> RoutineBudgetSet:
    """Set the monthly budget of a routine.

    Managers get an inbox item when runs have spent four fifths of it, and all of it. With `hard_stop` a run reserves
    its part of the budget before it starts, is refused if nothing is left, and ends when it has used its part.
    """
    changes: dict[str, Any] = {"monthly_budget_usd": data.monthly_budget_usd}
    if data.hard_stop is not None:
        changes["budget_hard_stop"] = data.hard_stop
    if data.monthly_budget_usd != routine.monthly_budget_usd:
        changes |= {"budget_warned_in": None, "budget_exceeded_in": None}
    return RoutineBudgetSet(**await _shown(ctx, await ctx.edit(routine, **changes)))


@procedure("routine_budget.summary", Action.READ)
async def get_routine_budgets(ctx: Context, data: NoInput) -> RoutineBudgets:
    """Get the monthly budgets of all routines.

    Most invoked first. Routines that have no budget and spent nothing are left out.
    """
    now = await ctx.now()
    routine, run = ctx.table(SavedRoutine).c, ctx.table(RoutineRun).c
    costs = (run.routine_id == routine.id, run.started_at >= month_of(now), run.cost_usd > _NOTHING)
    spent = func.coalesce(select(func.sum(run.cost_usd)).where(*costs).scalar_subquery(), _NOTHING)
    names = ("slug", "name", "id", "invocation_count", "monthly_budget_usd")
    each = select(*[routine[name] for name in names], spent.label("spent")).subquery().c
    budget = each.monthly_budget_usd
    sums = (func.sum(budget).over().label("budgets"), func.sum(each.spent).over().label("costs"))
    listed = select(each.slug, budget, each.spent, *sums).where(or_(budget > _NOTHING, each.spent > _NOTHING))
    rows = await ctx.report(listed.order_by(each.invocation_count.desc(), each.name, each.id).limit(MOST_ROWS))
    return RoutineBudgets(
        month=_named(now),
        routines=[RoutineBudgetRow(slug=row[0], **_used(row[1], row[2])) for row in rows],
        total_budget_usd=rows[0]["budgets"] if rows else 0.0,
        total_spent_usd=rows[0]["costs"] if rows else 0.0,
    )


async def _shown(ctx: Context, routine: SavedRoutine) -> dict[str, Any]:
    now = await ctx.now()
    spent, _ = await _spending(ctx, routine.id, month_of(now))
    return {
        "slug": routine.slug,
        "has_budget": routine.monthly_budget_usd > 0,
        "month": _named(now),
        "hard_stop": routine.budget_hard_stop or None,
        **_used(routine.monthly_budget_usd, spent),
    }


def _used(budget: float, spent: float) -> dict[str, Any]:
    """A part of nothing is absent, and so is one of no budget (contract: routine_budget.Budget)."""
    told: dict[str, Any] = {"monthly_budget_usd": budget, "spent_usd": spent}
    if budget > 0 and spent > 0:
        told |= {"pct_used": spent / budget * 100, "over_budget": spent > budget or None}
    return told


def month_of(time: datetime) -> datetime:
    """The first instant of the month, by UTC."""
    return time.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _named(time: datetime) -> str:
    return time.strftime("%Y-%m")


async def _spending(ctx: Context, routine_id: str, month: datetime, but: str = "") -> tuple[float, float]:
    """US dollars that runs of a month have spent, and those that runs which have not ended may still spend. Without the
    run `but`.
    """
    run = ctx.table(RoutineRun).c
    of_month = (run.routine_id == routine_id, run.started_at >= month, run.started_at < _next(month), run.id != but)
    spent = select(func.sum(run.cost_usd)).where(*of_month, run.cost_usd > _NOTHING)
    live = run.status.in_([constant(RoutineRunStatus.running), constant(RoutineRunStatus.waiting)])
    rest = func.greatest(run.reserved_usd - run.cost_usd, _NOTHING)
    held = select(func.sum(rest)).where(*of_month, live, run.reserved_usd > _NOTHING)
    ((first, second),) = await ctx.report(select(spent.scalar_subquery(), held.scalar_subquery()))
    return first or 0.0, second or 0.0


def _next(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


# ---- reservations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Portion:
    """The US dollars that a run may spend in all. `refusal`: the reason why it gets no more."""

    most: float
    refusal: Refusal | None = None


async def reserve(
    ctx: Context, routine: SavedRoutine, month: datetime, wish: float, *, run_id: str = "", spent: float = 0.0
) -> Portion:
    """Reserves a part of the budget for a run that has spent so much; the caller stores the Portion with the run. Runs
    of one routine reserve one after the other, until their transactions end. `wish`: the expected costs; 0 if unknown.
    """
    await ctx.lock(f"budget of {routine.id}")
    budget = routine.monthly_budget_usd
    by_others, reserved = await _spending(ctx, routine.id, month, run_id)
    left = round(budget - by_others - reserved - spent, DIGITS)
    if left > 0:
        return Portion(spent + min(wish if wish > 0 else max(budget * PART, 1 / MILLION), left))
    text = SPENT if round(budget - by_others - spent, DIGITS) <= 0 else SET_ASIDE
    amounts = {"spent": shown(micros_of(by_others + spent)), "amount": shown(micros_of(budget))}
    told = {"reason": "budget_exceeded", "monthly_budget_usd": budget, "spent_usd": by_others + spent}
    return Portion(spent, Refusal(Code.CONFLICT, text.format(**amounts), extra=told))


def wish_of(definition: Mapping[str, Any], spent: float = 0.0) -> float:
    """US dollars that a run of the definition costs at most after it has spent so much, or else as its author expects;
    0 if unknown.
    """
    most, expected = (
        float(each) if isinstance(each, int | float) else 0.0
        for each in (definition.get(key) for key in ("max_cost_usd", "estimated_cost_usd"))
    )
    return max(most - spent, 0.0) if most > 0 else max(expected, 0.0)


def ends_runs(routine: SavedRoutine) -> bool:
    return routine.budget_hard_stop and routine.monthly_budget_usd > 0


# ---- alarms ----------------------------------------------------------------------------------------------------------


async def tell_of_costs(ctx: Context, routine_id: str, month: datetime) -> None:
    """With the costs of a run that began in the month: people learn once a month that a budget is nearly spent, and
    once that it is spent. Declare InboxItemUpdated and RoutineBudgetReached.
    """
    routine = await ctx.select(SavedRoutine, col(SavedRoutine.id) == routine_id).first()
    if routine is None or routine.monthly_budget_usd <= 0 or routine.budget_exceeded_in == _named(month):
        return
    spent, _ = await _spending(ctx, routine_id, month)
    exceeded = round(routine.monthly_budget_usd - spent, DIGITS) <= 0
    known = {"budget_warned_in": _named(month)} | ({"budget_exceeded_in": _named(month)} if exceeded else {})
    if not exceeded and (spent < routine.monthly_budget_usd * WARNED_AT or routine.budget_warned_in == _named(month)):
        return
    await ctx.update(SavedRoutine, routine.id, **known)
    keys = {"pipeline_id": routine.id, "pipeline_slug": routine.slug, "month": _named(month)}
    ctx.emit(RoutineBudgetReached(**keys, exceeded=exceeded))
    name, how = cut(routine.name or routine.slug, LINE), "is spent" if exceeded else "is nearly spent"
    amounts = f"{shown(micros_of(spent))} of {shown(micros_of(routine.monthly_budget_usd))}"
    await put(
        ctx,
        InboxKind.message,
        f"routine_budget_{'exceeded' if exceeded else 'warning'}_{routine.id}_{_named(month)}_{routine.version}",
        subject=None,
        target_role=Role.MANAGER,
        title=f"The monthly budget of {name} {how}",
        body_md=f"{amounts} are spent in {_named(month)}.",
        sender_type=SenderType.system,
        sender_name="Budgets",
        priority=InboxPriority.high if exceeded else InboxPriority.medium,
        payload={"subkind": "routine_budget", **keys},
    )
