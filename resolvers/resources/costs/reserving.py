"""Before a run starts, part of every budget that concerns it is reserved; spending leads to alarms.

All budgets of a run are locked, in the order of their ids, before any is read: the next run sees earlier reservations.
Calls are booked without these locks, because they only convert a reservation into spending.

See ADR 64.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.base import table_of
from models.bounds import LINE, cut
from models.people.workspaces import Role
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope, BudgetSpend, CallReservation, RunReservation
from models.staff.agents import Agent
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put
from resolvers.kernel import Action, ById, Code, Context, Int, Output, Refusal, command
from resolvers.resources.costs.budgets import span_of
from resolvers.resources.costs.events import ALARMS, BudgetExceeded, BudgetWarning
from resolvers.resources.costs.money import shown, sum_of

SPENT = "The budget of the {of} is spent: {spent} of {amount}{today}. The run was not started."
SET_ASIDE = (
    "The rest of the budget of the {of} is reserved for active runs: {spent} of {amount}{today} is spent."
    " The run was not started; try again when these runs have ended."
)
TAKEN_OVER = "Another worker has taken over the run"


class ReserveRun(ById):
    """`lease` is the number under which the worker holds the run."""

    lease: Int


class Reserved(Output):
    """`micros` is the limit of the run from its first call on, in millionths of a US dollar: null without a limit. If
    `refused` is set, the run must not start.
    """

    micros: int | None = None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """A budget as it is now. `reserved`: for other runs; `own`: for this one; None if nothing was."""

    budget: Budget
    span: str
    spent: int
    reserved: int
    own: int | None

    @property
    def left(self) -> int:
        return self.budget.amount_micros - self.spent - self.reserved

    @property
    def is_spent(self) -> bool:
        """A run that has nothing reserved may not start."""
        return self.budget.hard_stop and self.own is None and self.left <= 0

    def told(self, text: str) -> str:
        budget = self.budget
        today = " today" if budget.period is BudgetPeriod.day else ""
        amounts = {"spent": shown(self.spent), "amount": shown(budget.amount_micros)}
        return text.format(of=budget.scope.value, today=today, **amounts)


@command(
    "budgets.reserve",
    Action.UPDATE,
    emits=(*ALARMS, InboxItemUpdated),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    surfaces=frozenset(),
)
async def reserve(ctx: Context, data: ReserveRun) -> Reserved:
    """Set money aside for a run.

    For the worker that holds it, before it starts. What an earlier worker has set aside stays.
    """
    run = await ctx.get(Run, data.id, lock=True)
    if run.status is not RunStatus.RUNNING or run.lease != data.lease:
        raise Refusal(Code.CONFLICT, TAKEN_OVER)
    states = await _states(ctx, run)
    await alarm(ctx, states)
    held = [state for state in states if state.budget.hard_stop]
    for state in held:
        if state.is_spent:
            spent = state.spent >= state.budget.amount_micros
            return Reserved(refused=state.told(SPENT if spent else SET_ASIDE))
    grants = {s.budget.id: min(s.budget.reservation_micros, s.left) if s.own is None else s.own for s in held}
    for state in held:
        if state.own is None:
            micros = grants[state.budget.id]
            ctx.record(RunReservation(run_id=run.id, budget_id=state.budget.id, granted_micros=micros, micros=micros))
    return Reserved(micros=min(grants.values(), default=None))


async def raise_alarms(ctx: Context, run: Run) -> None:
    """With the end of a run: what it has spent may have brought a budget to its limit. Declare ALARMS."""
    await alarm(ctx, await _states(ctx, run))


async def _states(ctx: Context, run: Run) -> list[State]:
    agent = await ctx.select(Agent, col(Agent.id) == run.agent_id, including_deleted=True).one()
    whose = budgets_of(agent)
    if run.assignment_id is not None:
        assignment = table_of(Assignment)
        missions = select(assignment.c.chat_id).where(
            assignment.c.workspace_id == ctx.workspace_id, assignment.c.id == run.assignment_id
        )
        whose.append(col(Budget.mission_id).in_(missions))
    return await states(ctx, whose, run.id)


def budgets_of(agent: Agent) -> list[Any]:
    """The conditions of the budgets that concern each run of the agent."""
    whose = [col(Budget.scope) == BudgetScope.workspace, col(Budget.agent_id) == agent.id]
    return whose if agent.crew_id is None else [*whose, col(Budget.crew_id) == agent.crew_id]


async def states(ctx: Context, whose: Sequence[Any], run_id: str = "", *, lock: bool = True) -> list[State]:
    """Returns the budgets that concern a run, or a call outside runs, and locks them before a change."""
    concerned = ctx.select(Budget, or_(*whose)).order_by(col(Budget.id))
    budgets = await (concerned.locked() if lock else concerned).all()
    if not budgets:
        return []
    found = {row[0]: row[1:] for row in await ctx.report(_sums(ctx, run_id, budgets))}
    return [State(budget, *found[budget.id]) for budget in budgets]


def _sums(ctx: Context, run_id: str, budgets: Sequence[Budget]) -> Any:
    """A separate statement: it sees everything that was committed before the budgets were locked."""
    budget, spend, held = ctx.table(Budget), ctx.table(BudgetSpend).c, ctx.table(RunReservation).c
    span, here = span_of(budget.c), budget.c.id
    spent = select(sum_of(spend.micros)).where(spend.budget_id == here, spend.span == span)
    others = select(sum_of(held.micros)).where(held.budget_id == here, held.run_id != run_id)
    asked = ctx.table(CallReservation).c
    calls = select(sum_of(asked.micros)).where(asked.budget_id == here, asked.expires_at > func.now())
    own = select(held.granted_micros).where(held.budget_id == here, held.run_id == run_id)
    values = [made.correlate(budget).scalar_subquery() for made in (spent, others, calls, own)]
    return select(here, span, values[0], values[1] + values[2], values[3]).where(
        here.in_([each.id for each in budgets])
    )


# ---- alarms ----------------------------------------------------------------------------------------------------------


async def alarm(ctx: Context, states: Sequence[State]) -> None:
    """Once in a span of a budget for each of its limits."""
    reached = dict[str, dict[str, Any]]()
    for state in states:
        budget = state.budget
        told = {"id": budget.id, "scope": budget.scope, "period": budget.period}
        if state.spent >= budget.amount_micros:
            if budget.exceeded_in != state.span:
                reached[budget.id] = {"exceeded_in": state.span, "warned_in": state.span}
                ctx.emit(BudgetExceeded(**told))
                await _tell(ctx, state, "exceeded", "is spent", InboxPriority.high)
        elif _is_near(state) and budget.warned_in != state.span:
            reached[budget.id] = {"exceeded_in": budget.exceeded_in, "warned_in": state.span}
            ctx.emit(BudgetWarning(**told))
            await _tell(ctx, state, "warning", "is nearly spent", InboxPriority.medium)
    if reached:
        now = await ctx.now()
        await ctx.update_each(Budget, {id: changes | {"reached_at": now} for id, changes in reached.items()})


def _is_near(state: State) -> bool:
    limit = state.budget.soft_limit_percent
    return limit is not None and state.spent * 100 >= limit * state.budget.amount_micros


async def _tell(ctx: Context, state: State, kind: str, how: str, priority: InboxPriority) -> None:
    budget = state.budget
    await put(
        ctx,
        InboxKind.message,
        f"budget_{kind}_{budget.id}_{state.span}_{budget.version}",
        subject=budget,
        target_role=Role.MANAGER,
        title=cut(f"The budget of the {budget.scope} {how}", LINE * 3),
        body_md=state.told("{spent} of {amount} are spent{today}."),
        sender_type=SenderType.system,
        sender_name="Budgets",
        priority=priority,
        payload={"budget_id": budget.id, "scope": budget.scope, "period": budget.period},
    )
