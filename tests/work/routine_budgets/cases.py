"""Cases of monthly budgets of routines, for the tests that are made for every operation."""

from typing import Any

from tests.generation.recipes import Recipe


def _named(**values: Any) -> Recipe:
    return Recipe(values | {"slug": lambda world: world.home["routine"].slug})


RECIPES = {
    "routine_budget.get": _named(),
    "routine_budget.set": _named(monthly_budget_usd=20.5, hard_stop=True),
}
