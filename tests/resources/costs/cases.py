"""Cases of costs and budgets, for the tests that are made for every operation."""

from datetime import UTC, datetime
from typing import Any

from models.resources.budgets import Budget, BudgetPeriod, BudgetScope, RunReservation
from models.resources.costs import CostDay, ModelCall, ModelPrice
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now

AMOUNT = 5_000_000


@entity
def model_call(plot: Plot) -> ModelCall:
    return ModelCall(
        run_id=plot["run"].id,
        step="1 model",
        agent_id=plot["agent"].id,
        crew_id=plot["crew"].id,
        chat_id=plot["chat"].id,
        mission_id=plot["issue"].id,
        provider="Anthropic",
        model="claude",
        input_tokens=100,
        output_tokens=20,
        cost_micros=1_500,
        **plot.here,
    )


@entity
def model_price(plot: Plot) -> ModelPrice:
    return ModelPrice(
        model="claude",
        since=datetime(2026, 1, 1, tzinfo=UTC).date(),
        input_micros=3_000_000,
        output_micros=15_000_000,
        cached_input_micros=300_000,
        **plot.here,
    )


@entity
def cost_day(plot: Plot) -> CostDay:
    return CostDay(
        day=datetime.now(UTC).date(),
        agent_id=plot["agent"].id,
        crew_id=plot["crew"].id,
        model="claude",
        slot=0,
        calls=1,
        input_tokens=100,
        output_tokens=20,
        cost_micros=1_500,
        **plot.here,
    )


def _budget(plot: Plot, scope: BudgetScope, **more: Any) -> Budget:
    return Budget(
        scope=scope,
        period=BudgetPeriod.total,
        amount_micros=AMOUNT,
        reservation_micros=AMOUNT // 10,
        soft_limit_percent=80,
        **more,
        **plot.here,
    )


@entity
def budget(plot: Plot) -> Budget:
    """Nearly spent."""
    return _budget(plot, BudgetScope.agent, agent_id=plot["agent"].id, warned_in="total", reached_at=now())


@entity
def budget_of_crew(plot: Plot) -> Budget:
    return _budget(plot, BudgetScope.crew, crew_id=plot["crew"].id)


@entity
def budget_of_mission(plot: Plot) -> Budget:
    return _budget(plot, BudgetScope.mission, mission_id=plot["issue"].id)


@entity
def run_reservation(plot: Plot) -> RunReservation:
    return RunReservation(
        run_id=plot["run"].id, budget_id=plot["budget"].id, granted_micros=2_000, micros=500, **plot.here
    )


OF_AN_ISSUE = Recipe(ids={"mission_id": "issue"})
RECIPES = {
    "model_calls.list": OF_AN_ISSUE,
    "budgets.list": OF_AN_ISSUE,
    "internal.cost.record": Recipe(ids={"mission_id": "issue"}, values={"billing_mode": "metered"}),
}
