"""REST: calls of models, what they cost, and budgets."""

from typing import Annotated

from models.resources.budgets import Budget
from models.resources.costs import ModelCall
from resolvers.resources import costs
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, Wire


class ModelCallJSON(Wire, of=ModelCall):
    id: str
    workspace_id: str
    run_id: str
    step: str
    agent_id: str | None
    agent_name: Annotated[str | None, Absent()]
    crew_id: str | None
    crew_name: Annotated[str | None, Absent()]
    chat_id: str | None
    mission_id: str | None
    issue_identifier: Annotated[str | None, Absent()]
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_creation_tokens: int
    cost_usd: float | None
    estimated: bool
    created_at: str


class BudgetJSON(Wire, of=Budget):
    id: str
    workspace_id: str
    scope: str
    crew_id: str | None
    agent_id: str | None
    mission_id: str | None
    period: str
    amount_usd: float
    reservation_usd: float
    soft_limit_percent: int | None
    hard_stop: bool
    spent_usd: float
    reserved_usd: float
    remaining_usd: float
    created_at: str
    updated_at: str


ROUTES = (
    GET("/api/v1/costs", costs.report_costs, costs.CostReport),
    GET("/api/v1/model-calls", costs.list_model_calls, list[ModelCallJSON]),
    GET("/api/v1/budgets", costs.list_budgets, list[BudgetJSON]),
    POST("/api/v1/budgets", costs.create_budget, BudgetJSON, status=201),
    GET("/api/v1/budgets/{budgetId}", costs.get_budget, BudgetJSON),
    PATCH("/api/v1/budgets/{budgetId}", costs.update_budget, BudgetJSON),
    DELETE("/api/v1/budgets/{budgetId}", costs.delete_budget, status=204),
)
