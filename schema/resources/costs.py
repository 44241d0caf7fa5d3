"""GraphQL: calls of models, what they cost, and budgets."""

import strawberry

from models.resources.budgets import Budget
from models.resources.costs import ModelCall
from resolvers.resources import costs as cost_ops
from schema.bridge.fields import mutation, node, output, query

output(
    cost_ops.CostSum,
    description="Sums over calls of models. Input tokens do not include those that were read from a cache or "
    "written to one.",
    fields={
        "calls": float,
        "input_tokens": float,
        "output_tokens": float,
        "cached_input_tokens": float,
        "cache_creation_tokens": float,
    },
)
output(
    cost_ops.CostRow,
    description="A row of a cost report.",
    fields={
        "key": "A day, an agent or crew id, or a model; empty if there is no agent or crew.",
        "name": "Name of the agent or crew, and else the key.",
        "calls": float,
        "input_tokens": float,
        "output_tokens": float,
        "cached_input_tokens": float,
        "cache_creation_tokens": float,
    },
)
output(
    cost_ops.CostReport,
    description="What calls of models have used and cost. Days come in order, other rows by cost, descending; "
    "at most 1,000.",
)


@node(ModelCall)
class ModelCallType:
    """One call of a model: what it has used, and what it costs."""

    fields = """
        id workspace_id run_id step agent_id agent agent_name crew_id crew crew_name chat_id mission_id mission
        issue_identifier provider model input_tokens output_tokens cached_input_tokens cache_creation_tokens cost_usd
        estimated created_at
    """
    run_id = strawberry.field(description="Run that made the call; of a call without one, its own id.")
    step = strawberry.field(description="Step of the run that made the call; without a run, what it was for.")
    agent_id = strawberry.field(description="Null where no agent asked for the call.")
    agent_name: str | None = strawberry.field(description="Name of the agent, even if the agent is deleted.")
    crew_id = strawberry.field(description="Crew of the agent at the time of the call.")
    crew_name: str | None
    mission_id = strawberry.field(description="Mission or issue that the run works on.")
    issue_identifier: str | None = strawberry.field(description="Identifier of the issue; null for other missions.")
    input_tokens: float = strawberry.field(description="Without those that were read from a cache or written to one.")
    output_tokens: float
    cached_input_tokens: float
    cache_creation_tokens: float
    cost_usd: float | None = strawberry.field(description="US dollars; null if the price is not known.")
    estimated = strawberry.field(description="Whether the tokens are an estimate because the provider reported none.")


@node(Budget)
class BudgetType:
    """An amount of money for calls of models. Amounts are in US dollars; a day begins at midnight UTC."""

    fields = """
        id workspace_id scope crew_id crew agent_id agent mission_id mission period amount_usd reservation_usd
        soft_limit_percent hard_stop spent_usd reserved_usd remaining_usd created_at updated_at version
    """
    reservation_usd = strawberry.field(description="The amount reserved for a run before it starts.")
    soft_limit_percent = strawberry.field(description="The share of the amount at which users are notified.")
    hard_stop = strawberry.field(description="Whether no run is started when the amount is spent.")
    spent_usd = strawberry.field(description="Spent today, or in total, as the period says.")
    reserved_usd = strawberry.field(description="Set aside for runs and calls under way.")
    remaining_usd = strawberry.field(description="Neither spent nor set aside.")


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
    costs = query(cost_ops.report_costs)
    model_calls = query(cost_ops.list_model_calls, ModelCallType)
    budgets = query(cost_ops.list_budgets, BudgetType)
    budget = query(cost_ops.get_budget, BudgetType)


@strawberry.type
class CostMutation:
    create_budget = mutation(cost_ops.create_budget, BudgetType)
    update_budget = mutation(cost_ops.update_budget, BudgetType)
    delete_budget = mutation(cost_ops.delete_budget)
