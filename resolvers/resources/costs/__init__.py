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
from resolvers.resources.costs.journal import AgentDaySpend, JournalSpend, RoutineDaySpend, SpendRank, get_journal_spend
from resolvers.resources.costs.ledger import list_model_calls
from resolvers.resources.costs.prices import delete_model_price, list_model_prices, set_model_price
from resolvers.resources.costs.recording import CostRecorded, record_cost
from resolvers.resources.costs.report import CostReport, CostRow, CostSum, report_costs
from resolvers.resources.costs.spend import (
    AgentSpend,
    CrewSpend,
    MissionSpend,
    PlanUsage,
    SpendByAgent,
    SpendByCrew,
    SpendByMission,
    SubscriptionUsage,
    TopSpender,
    TopSpenders,
    find_top_spenders,
    get_subscription_usage,
    spend_by_agent,
    spend_by_crew,
    spend_by_mission,
)

DOMAIN = Domain("costs", scopes="workspace")
