"""REST: model calls, their costs, and budgets."""

from models.resources.budgets import Budget
from models.resources.costs import ModelCall
from resolvers.resources import costs
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class ModelCallJSON(Wire, of=ModelCall):
    fields = """
        id workspace_id run_id step agent_id agent_name crew_id crew_name chat_id mission_id issue_identifier provider
        model input_tokens output_tokens cached_input_tokens cache_creation_tokens cost_usd estimated
        billing_mode subscription_plan quota_remaining_pct quota_window rate_limited created_at
    """
    absent = "agent_name crew_name issue_identifier"


class BudgetJSON(Wire, of=Budget):
    fields = """
        id workspace_id scope crew_id agent_id mission_id period amount_usd reservation_usd soft_limit_percent hard_stop
        spent_usd reserved_usd remaining_usd created_at updated_at
    """


ROUTES = (
    GET("/api/v1/costs", costs.report_costs, costs.CostReport),
    GET("/api/v1/paymaster/spend/by-crew", costs.spend_by_crew, costs.SpendByCrew),
    GET("/api/v1/paymaster/spend/by-agent/{crewId}", costs.spend_by_agent, costs.SpendByAgent),
    GET("/api/v1/paymaster/spend/by-mission/{missionId}", costs.spend_by_mission, costs.SpendByMission),
    GET("/api/v1/paymaster/top-spenders", costs.find_top_spenders, costs.TopSpenders),
    GET("/api/v1/paymaster/subscriptions", costs.get_subscription_usage, costs.SubscriptionUsage),
    GET("/api/v1/journal/spend", costs.get_journal_spend, costs.JournalSpend),
    POST(
        "/api/v1/internal/cost/record",
        costs.record_cost,
        costs.CostRecorded,
        status=202,
        reads=workspace_in_body,
        body_limit=16 * 1024,
    ),
    GET("/api/v1/model-calls", costs.list_model_calls, list[ModelCallJSON]),
    GET("/api/v1/budgets", costs.list_budgets, list[BudgetJSON]),
    POST("/api/v1/budgets", costs.create_budget, BudgetJSON, status=201),
    GET("/api/v1/budgets/{budgetId}", costs.get_budget, BudgetJSON),
    PATCH("/api/v1/budgets/{budgetId}", costs.update_budget, BudgetJSON),
    DELETE("/api/v1/budgets/{budgetId}", costs.delete_budget, status=204),
)
