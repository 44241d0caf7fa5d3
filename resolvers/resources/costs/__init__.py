"""Costs of model calls: the ledger, its report, and budgets."""

from resolvers.kernel import Domain
from resolvers.resources.costs.breakdown import CostBreakdown, CostCell, UnpricedModel, break_down_costs
from resolvers.resources.costs.budgets import (
    create_budget,
    delete_budget,
    get_budget,
    list_budgets,
    update_budget,
)
from resolvers.resources.costs.edges import CostOfDay, RunUsage
from resolvers.resources.costs.ledger import list_model_calls
from resolvers.resources.costs.prices import delete_model_price, list_model_prices, set_model_price
from resolvers.resources.costs.report import CostReport, CostRow, CostSum, report_costs

DOMAIN = Domain("costs", scopes="workspace")
