"""GraphQL: monthly budgets of routines."""

import strawberry

from resolvers.work import routine_budgets as budget_ops
from schema.bridge.fields import mutation, query


@strawberry.type
class RoutineBudgetQuery:
    routine_budget = query(budget_ops.get_routine_budget)
    routine_budgets = query(budget_ops.get_routine_budgets)


@strawberry.type
class RoutineBudgetMutation:
    set_routine_budget = mutation(budget_ops.set_routine_budget)
