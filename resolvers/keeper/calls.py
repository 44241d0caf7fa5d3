"""What the keeper's calls of models cost: each is a row of the ledger, and no budget that is spent lets one begin.

The rows of the sums are the keeper's own (a slot that no run has), so that its calls and those of runs never wait for
each other.
"""

from datetime import UTC
from typing import Any, Final

from sqlalchemy import or_, select
from sqlmodel import col

from models.bounds import LINE
from models.budgets import Budget, BudgetScope, BudgetSpend
from models.costs import SLOTS, CostDay, ModelCall
from models.journal import JournalActor, JournalEntry
from resolvers.costs.budgets import span_of
from resolvers.costs.money import sum_of
from resolvers.kernel import Completed, Context, Model

SLOT: Final = SLOTS
STEP: Final = "keeper"
SPENT: Final = "The budget for calls of models is spent"


async def judged_by_budget(ctx: Context, agent_id: str, crew_id: str) -> str:
    """Why no call may begin; empty where one may. A call is small and short: what is spent counts, and what runs have
    set aside stays theirs.
    """
    budgets = await ctx.select(Budget, *_concerned(agent_id, crew_id), col(Budget.hard_stop).is_(True)).all()
    if not budgets:
        return ""
    spent = dict(await _spent(ctx, [budget.id for budget in budgets]))
    return SPENT if any(spent.get(budget.id, 0) >= budget.amount_micros for budget in budgets) else ""


async def booked(
    ctx: Context, request_id: str, model: Model, said: Completed, *, agent_id: str = "", crew_id: str = ""
) -> None:
    """Within the transaction that keeps the verdict."""
    cost = said.cost_micros
    tokens: dict[str, Any] = {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}
    named: dict[str, Any] = {"provider": model.provider[:LINE], "model": model.name[:LINE]}
    ctx.record(
        ModelCall(
            run_id=request_id, step=STEP, agent_id=agent_id, crew_id=crew_id or None, cost_micros=cost,
            estimated=said.estimated, **named, **tokens,
        ),
        JournalEntry(
            entry_type="llm.call", actor_type=JournalActor.system, crew_id=crew_id or None, agent_id=agent_id or None,
            summary=f"{model.provider}/{model.name} {said.input_tokens} in, {said.output_tokens} out"[:LINE],
            payload=named | tokens | {
                "cached_input_tokens": 0, "cache_creation_tokens": 0, "cost_usd": (cost or 0) / 1_000_000,
            },
            refs={"keeper_request_id": request_id},
        ),
    )  # fmt: skip
    await ctx.lock(f"costs of the keeper {ctx.workspace_id}")
    today = (await ctx.now()).astimezone(UTC).date()
    key: dict[str, Any] = {
        "day": today, "agent_id": agent_id, "crew_id": crew_id, "model": named["model"], "slot": SLOT
    }  # fmt: skip
    added = {"calls": 1, "cost_micros": cost or 0, **tokens}
    await _add(ctx, CostDay, key, added)
    if cost:
        for budget in await ctx.select(Budget, *_concerned(agent_id, crew_id)).all():
            span = today.isoformat() if budget.period.value == "day" else "total"
            await _add(ctx, BudgetSpend, {"budget_id": budget.id, "span": span, "slot": SLOT}, {"micros": cost})


async def _add(ctx: Context, model: Any, key: dict[str, Any], added: dict[str, int]) -> None:
    """Nobody else writes rows of this slot, and whoever does holds the lock."""
    same = [col(getattr(model, name)) == value for name, value in key.items()]
    more: dict[str, Any] = {name: col(getattr(model, name)) + number for name, number in added.items()}
    if not await ctx.update_where(model, *same, **more):
        await ctx.insert_all([model(**key, **added)])


def _concerned(agent_id: str, crew_id: str) -> tuple[Any, ...]:
    whose = [col(Budget.scope) == BudgetScope.workspace]
    whose += [col(Budget.agent_id) == agent_id] if agent_id else []
    whose += [col(Budget.crew_id) == crew_id] if crew_id else []
    return (or_(*whose),)


async def _spent(ctx: Context, ids: list[str]) -> list[tuple[str, int]]:
    budget, spend = ctx.table(Budget), ctx.table(BudgetSpend).c
    spent = select(sum_of(spend.micros)).where(spend.budget_id == budget.c.id, spend.span == span_of(budget.c))
    found = select(budget.c.id, spent.correlate(budget).scalar_subquery()).where(budget.c.id.in_(ids))
    return [(row[0], row[1] or 0) for row in await ctx.report(found)]
