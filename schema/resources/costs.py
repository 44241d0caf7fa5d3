"""GraphQL: calls of models, what they cost, and budgets."""

from datetime import datetime

import strawberry

from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.resources.costs import ModelCall
from resolvers.resources import costs as cost_ops
from schema.bridge.fields import Edge, mutation, node, output, query
from schema.bridge.results import DeletedType


@node(ModelCall)
class ModelCallType:
    """One call of a model: what it has used, and what it costs."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    run_id: strawberry.ID = strawberry.field(description="Run that made the call; of a call without one, its own id.")
    step: str = strawberry.field(description="Step of the run that made the call; without a run, what it was for.")
    agent_id: strawberry.ID | None = strawberry.field(description="Null where no agent asked for the call.")
    agent: Edge | None
    agent_name: str | None = strawberry.field(description="Name of the agent, even if the agent is deleted.")
    crew_id: strawberry.ID | None = strawberry.field(description="Crew of the agent at the time of the call.")
    crew: Edge | None
    crew_name: str | None
    chat_id: strawberry.ID | None
    mission_id: strawberry.ID | None = strawberry.field(description="Mission or issue that the run works on.")
    mission: Edge | None
    issue_identifier: str | None = strawberry.field(description="Identifier of the issue; null for other missions.")
    provider: str
    model: str
    input_tokens: float = strawberry.field(description="Without those that were read from a cache or written to one.")
    output_tokens: float
    cached_input_tokens: float
    cache_creation_tokens: float
    cost_usd: float | None = strawberry.field(description="US dollars; null if the price is not known.")
    estimated: bool = strawberry.field(
        description="Whether the tokens are an estimate because the provider reported none."
    )
    created_at: datetime


@node(Budget)
class BudgetType:
    """An amount of money for calls of models. Amounts are in US dollars; a day begins at midnight UTC."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    scope: BudgetScope
    crew_id: strawberry.ID | None
    crew: Edge | None
    agent_id: strawberry.ID | None
    agent: Edge | None
    mission_id: strawberry.ID | None
    mission: Edge | None
    period: BudgetPeriod
    amount_usd: float
    reservation_usd: float = strawberry.field(description="The amount reserved for a run before it starts.")
    soft_limit_percent: int | None = strawberry.field(
        description="The share of the amount at which users are notified."
    )
    hard_stop: bool = strawberry.field(description="Whether no run is started when the amount is spent.")
    spent_usd: float = strawberry.field(description="Spent today, or in total, as the period says.")
    reserved_usd: float = strawberry.field(description="Set aside for runs and calls under way.")
    remaining_usd: float = strawberry.field(description="Neither spent nor set aside.")
    created_at: datetime
    updated_at: datetime
    version: int


@output(cost_ops.CostSum)
class CostSumType:
    """Sums over calls of models. Input tokens do not include those that were read from a cache or written to one."""

    calls: float
    input_tokens: float
    output_tokens: float
    cached_input_tokens: float
    cache_creation_tokens: float
    cost_usd: float


@output(cost_ops.CostRow)
class CostRowType:
    """A row of a cost report."""

    key: str = strawberry.field(
        description="A day, an agent or crew id, or a model; empty if there is no agent or crew."
    )
    name: str = strawberry.field(description="Name of the agent or crew, and else the key.")
    calls: float
    input_tokens: float
    output_tokens: float
    cached_input_tokens: float
    cache_creation_tokens: float
    cost_usd: float


@output(cost_ops.CostReport)
class CostReportType:
    """What calls of models have used and cost. Days come in order, other rows by cost, descending; at most 1,000."""

    group_by: cost_ops.CostGroup
    since: str
    until: str
    total: CostSumType
    rows: list[CostRowType]


@node(cost_ops.CostOfDay)
class CostOfDayType:
    """What the calls of models of a day, by UTC, have used and cost. Days without calls are left out."""

    day: str
    calls: float
    input_tokens: float
    output_tokens: float
    cached_input_tokens: float
    cache_creation_tokens: float
    cost_usd: float


@strawberry.type
class CostQuery:
    costs = query(cost_ops.report_costs, CostReportType)
    model_calls = query(cost_ops.list_model_calls, ModelCallType)
    budgets = query(cost_ops.list_budgets, BudgetType)
    budget = query(cost_ops.get_budget, BudgetType)


@strawberry.type
class CostMutation:
    create_budget = mutation(cost_ops.create_budget, BudgetType)
    update_budget = mutation(cost_ops.update_budget, BudgetType)
    delete_budget = mutation(cost_ops.delete_budget, DeletedType)
