"""Budgets: list, get, create, update, delete, with their spending."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import case, func, select
from sqlmodel import col

from models.base import table_of
from models.resources.budgets import (
    SUBJECTS,
    Budget,
    BudgetPeriod,
    BudgetScope,
    BudgetSpend,
    CallReservation,
    RunReservation,
)
from models.resources.costs import CostDay, ModelCall
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.kernel import (
    EVERYONE,
    Action,
    Bool,
    ById,
    Code,
    Context,
    Deleted,
    Filter,
    Id,
    Input,
    Int,
    Page,
    Paging,
    Patch,
    QueryScope,
    Ref,
    Row,
    Subject,
    command,
    constant,
    derived,
    graph,
    invalid,
    one,
    query,
)
from resolvers.kernel.ground.constants import DATE, DAY, MIDNIGHT
from resolvers.resources.costs.events import BudgetCreated, BudgetDeleted, BudgetUpdated
from resolvers.resources.costs.ledger import MONEY
from resolvers.resources.costs.money import Usd, dollars, micros_of, sum_of

TAKEN = "A budget with this scope and period already exists"
BUDGET = Subject(Budget, "id")
SHARE = 10  # of an amount is what a run sets aside, where nothing else is said
TOTAL: Any = constant("total")
ZERO: Any = constant(0)
NEWEST_FIRST = (col(Budget.created_at).desc(), col(Budget.id).desc())
Percent = Annotated[Int, Field(ge=1, le=100)]


def span_of(budget: Any) -> Any:
    """The span of a budget that is now, of its columns."""
    return case((budget.period == constant(BudgetPeriod.day), DAY), else_=TOTAL)


def _spent(budget: Any, scope: Any) -> Any:
    spend, own = scope.beside(BudgetSpend, budget)
    here = (spend.c.budget_id == budget.id, spend.c.span == span_of(budget), *own)
    return scope.scalar(select(sum_of(spend.c.micros)).select_from(spend).where(*here))


def _reserved(budget: Any, scope: Any) -> Any:
    held, own = scope.beside(RunReservation, budget)
    runs = select(sum_of(held.c.micros)).select_from(held).where(held.c.budget_id == budget.id, *own)
    asked, own = scope.beside(CallReservation, budget)
    found = (asked.c.budget_id == budget.id, asked.c.expires_at > func.now(), *own)
    calls = select(sum_of(asked.c.micros)).select_from(asked).where(*found)
    return scope.scalar(runs) + scope.scalar(calls)


def _remaining(budget: Any, scope: Any) -> Any:
    return func.greatest(budget.amount_micros - _spent(budget, scope) - _reserved(budget, scope), ZERO)


graph(
    Budget,
    gate=MONEY,
    scope="workspace:read",
    visible=EVERYONE,
    amount_usd=derived(float, lambda budget, scope: dollars(budget.amount_micros)),
    reservation_usd=derived(float, lambda budget, scope: dollars(budget.reservation_micros)),
    spent_usd=derived(float, lambda budget, scope: dollars(_spent(budget, scope))),
    reserved_usd=derived(float, lambda budget, scope: dollars(_reserved(budget, scope))),
    remaining_usd=derived(float, lambda budget, scope: dollars(_remaining(budget, scope))),
    crew=one(Crew, "crew_id"),
    agent=one(Agent, "agent_id"),
    mission=one(Mission, "mission_id"),
)


class ListBudgets(Paging):
    """Filters are combined with AND; values match exactly."""

    mission_id: Annotated[Id | None, Filter(Budget.mission_id, leads=True)] = None
    agent_id: Annotated[Id | None, Filter(Budget.agent_id, leads=True)] = None
    crew_id: Annotated[Id | None, Filter(Budget.crew_id, leads=True)] = None


class CreateBudget(Input):
    """At most one id sets the scope; without an id the budget is the workspace's. An issue is a mission.

    `reservation_usd` is the amount reserved for a run before it starts; a tenth of the budget by default. Without
    `hard_stop` runs are never refused.
    """

    crew_id: Annotated[Id, Ref(Crew)] | None = None
    agent_id: Annotated[Id, Ref(Agent)] | None = None
    mission_id: Annotated[Id, Ref(Mission)] | None = None
    period: BudgetPeriod
    amount_usd: Usd
    reservation_usd: Usd | None = None
    soft_limit_percent: Percent | None = 80
    hard_stop: Bool = True


class UpdateBudget(Patch, ById):
    """Null clears the soft limit. A new amount notifies again when its limits are reached."""

    amount_usd: Usd
    reservation_usd: Usd
    soft_limit_percent: Percent | None
    hard_stop: Bool


@query("budgets.list", MONEY, tickets=False)
def list_budgets(scope: QueryScope, data: ListBudgets) -> Page[Budget]:
    """List budgets.

    Newest first; ties by id, descending.
    """
    return scope.select(Budget).matching(data).order_by(*NEWEST_FIRST).page(data)


@query("budgets.get", MONEY, subject=BUDGET, tickets=False)
def get_budget(scope: QueryScope, budget: Row[Budget], data: ById) -> Row[Budget]:
    """Get a budget."""
    return budget


@command("budgets.create", Action.MANAGE, audit="budget.created", emits=BudgetCreated, errors=(Code.CONFLICT,))
async def create_budget(ctx: Context, data: CreateBudget) -> Budget:
    """Create a budget.

    A scope has one budget per period. Earlier spending counts: today's, or in total.
    """
    named = [key for key in SUBJECTS if getattr(data, key) is not None]
    if len(named) > 1:
        raise invalid(named[1], f"a budget has one scope; {named[0]} was also sent")
    scope = BudgetScope(named[0].removesuffix("_id")) if named else BudgetScope.workspace
    given = data.model_dump(exclude={"amount_usd", "reservation_usd"})
    amount = micros_of(data.amount_usd)
    reservation = max(amount // SHARE, 1) if data.reservation_usd is None else micros_of(data.reservation_usd)
    budget = Budget(scope=scope, **given, amount_micros=amount, reservation_micros=reservation)
    ((span, spent),) = await ctx.report(_before(ctx, budget))
    if spent:
        await ctx.insert_all([BudgetSpend(budget_id=budget.id, span=span, slot=0, micros=int(spent))])
    ctx.audit("BUDGET", budget.id, scope=budget.scope, period=budget.period, amount_usd=data.amount_usd)
    ctx.emit(BudgetCreated(id=budget.id))
    return await ctx.insert(budget, conflict=TAKEN)


def _before(ctx: Context, budget: Budget) -> Any:
    """The current span, and the spending in it."""
    daily = budget.period is BudgetPeriod.day
    span = DAY if daily else TOTAL
    if budget.mission_id is not None:
        calls = ctx.table(ModelCall).c
        since = (calls.created_at >= MIDNIGHT,) if daily else ()
        return select(span, sum_of(calls.cost_micros)).where(calls.mission_id == budget.mission_id, *since)
    days = ctx.table(CostDay).c
    subject = {"crew_id": budget.crew_id, "agent_id": budget.agent_id}
    own = [days[key] == value for key, value in subject.items() if value is not None]
    return select(span, sum_of(days.cost_micros)).where(*own, *((days.day == DATE,) if daily else ()))


@command("budgets.update", Action.MANAGE, subject=BUDGET, audit="budget.updated", emits=BudgetUpdated, versioned=Budget)
async def update_budget(ctx: Context, budget: Budget, data: UpdateBudget) -> Budget:
    """Update a budget.

    Active runs keep their reservations.
    """
    sent = data.something()
    changes = {name: value for name, value in sent.items() if not name.endswith("_usd")}
    for name in ("amount", "reservation"):
        if f"{name}_usd" in sent:
            changes[f"{name}_micros"] = micros_of(sent[f"{name}_usd"])
    if sent.keys() & {"amount_usd", "soft_limit_percent"}:
        changes |= {"warned_in": None, "exceeded_in": None, "reached_at": None}
    ctx.audit("BUDGET", budget.id, **sent)
    ctx.emit(BudgetUpdated(id=budget.id))
    return await ctx.edit(budget, **changes)


@command("budgets.delete", Action.MANAGE, subject=BUDGET, audit="budget.deleted", emits=BudgetDeleted, versioned=Budget)
async def delete_budget(ctx: Context, budget: Budget, data: ById) -> Deleted:
    """Delete a budget.

    The ledger is unchanged.
    """
    await ctx.delete(Budget, budget.id)
    await ctx.delete_where(BudgetSpend, table_of(BudgetSpend).c.budget_id == budget.id)
    ctx.audit("BUDGET", budget.id)
    ctx.emit(BudgetDeleted(id=budget.id))
    return Deleted(id=budget.id)
