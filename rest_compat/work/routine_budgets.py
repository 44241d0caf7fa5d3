"""REST: monthly budgets of routines."""

from resolvers.work import routine_budgets
from rest_compat.http.table import GET, PATCH
from rest_compat.people.workspaces import WORKSPACE

PIPELINES = f"{WORKSPACE}/pipelines"
BUDGET = f"{PIPELINES}/{{slug}}/budget"
ROUTES = (
    GET(BUDGET, routine_budgets.get_routine_budget, routine_budgets.RoutineBudget),
    PATCH(
        BUDGET,
        routine_budgets.set_routine_budget,
        routine_budgets.RoutineBudgetSet,
        body_limit=routine_budgets.MOST_BODY,
    ),
    GET(f"{PIPELINES}/budget-summary", routine_budgets.get_routine_budgets, routine_budgets.RoutineBudgets),
)
