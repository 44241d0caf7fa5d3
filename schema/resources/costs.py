"""GraphQL: model calls, their costs, and budgets."""

from typing import Any

import strawberry

from models.resources.budgets import Budget
from models.resources.costs import ModelCall, ModelPrice
from resolvers.resources import costs as cost_ops
from resolvers.resources.costs.edges import MissionUsage, TaskUsage
from schema.bridge.fields import mutation, node, output, query

output(
    cost_ops.CostSum,
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
    fields={
        "key": "A day, an agent or crew id, or a model; empty without an agent or crew.",
        "name": "Name of the agent or crew, otherwise the key.",
        "calls": float,
        "input_tokens": float,
        "output_tokens": float,
        "cached_input_tokens": float,
        "cache_creation_tokens": float,
    },
)
output(cost_ops.UnpricedModel, fields={"calls": float})
output(
    cost_ops.CostCell,
    fields={
        "keys": "One per grouping: a day, an agent or crew id, or a model; empty without an agent or crew.",
        "names": "Names of agents and crews, otherwise the keys.",
        "calls": float,
        "input_tokens": float,
        "output_tokens": float,
        "cached_input_tokens": float,
        "cache_creation_tokens": float,
    },
)
output(
    cost_ops.CostBreakdown,
    fields={"unpriced": "Models without a known price, by calls; their calls count as free."},
)

SPENT: dict[str, Any] = {"call_count": float, "input_tokens": float, "output_tokens": float}
output(cost_ops.CrewSpend, fields={"crew_id": "Empty for calls without a crew."} | SPENT)
output(cost_ops.AgentSpend, fields={"agent_id": "Empty for calls without an agent."} | SPENT)
output(
    cost_ops.MissionSpend,
    fields={"first_ts": "Time of the first call; the year 1 without any.", "last_ts": "Time of the last call."} | SPENT,
)
output(
    cost_ops.TopSpender,
    fields={"scope_kind": "Always agent.", "scope_id": "The agent's id.", "call_count": float},
)
output(cost_ops.PlanUsage, fields={"subscription_plan": "unknown for calls that name no plan."} | SPENT)
output(
    cost_ops.AgentDaySpend,
    fields={"date": "A day, by UTC.", "call_count": "Calls that cost something."},
)
output(cost_ops.RoutineDaySpend, fields={"date": "A day, by UTC."})
output(
    cost_ops.SpendRank,
    fields={
        "kind": "routine or run.",
        "id": strawberry.field(deprecation_reason="Amounts differ between windows. Use `rankedId`."),
    },
    properties={"ranked_id": strawberry.ID},
)
output(
    cost_ops.JournalSpend,
    fields={"truncated": "True if there are more rows than the first 5,000, which are listed; the total covers all."},
)


@node(ModelCall)
class ModelCallType:
    """A model call with its tokens and cost."""

    fields = """
        id workspace_id run_id step agent_id agent agent_name crew_id crew crew_name chat_id mission_id mission
        issue_identifier provider model input_tokens output_tokens cached_input_tokens cache_creation_tokens cost_usd
        estimated billing_mode subscription_plan quota_remaining_pct quota_window rate_limited created_at
    """
    run_id = strawberry.field(description="The run that made the call; without a run, the id of the call.")
    step = strawberry.field(description="The run's step that made the call; without a run, the purpose of the call.")
    agent_id = strawberry.field(description="Null if no agent made the call.")
    agent_name = strawberry.field(description="Name of the agent, even if the agent is deleted.")
    crew_id = strawberry.field(description="Crew of the agent at the time of the call.")
    mission_id = strawberry.field(description="Mission or issue that the run works on.")
    issue_identifier = strawberry.field(description="Identifier of the issue; null for other missions.")
    input_tokens: float = strawberry.field(description="Excludes tokens read from or written to a cache.")
    output_tokens: float
    cached_input_tokens: float
    cache_creation_tokens: float
    cost_usd = strawberry.field(description="US dollars; null if the price is not known.")
    estimated = strawberry.field(description="True if the tokens are an estimate because the provider reported none.")
    billing_mode = strawberry.field(description="The billing: by tokens, or at a flat rate, which makes the call free.")
    subscription_plan = strawberry.field(description="The plan of a call at a flat rate, if a program reported it.")
    quota_remaining_pct = strawberry.field(description="The rest of the provider's quota, as a program reported it.")
    quota_window = strawberry.field(description="The period of the quota, as a program reported it.")
    rate_limited = strawberry.field(description="True if the provider refused the call for now.")


@node(ModelPrice)
class ModelPriceType:
    """A price that the workspace has set for a model. Amounts are in US dollars per million tokens."""

    fields = "id workspace_id model since input_usd output_usd cached_input_usd created_at updated_at"
    since = strawberry.field(description="The first day of the price, by UTC.")
    cached_input_usd = strawberry.field(
        description="The price of tokens read from a cache; null if they cost as much as other input."
    )


@node(Budget)
class BudgetType:
    """A limit on spending for model calls. Amounts are in US dollars; a day begins at midnight UTC."""

    fields = """
        id workspace_id scope crew_id crew agent_id agent mission_id mission period amount_usd reservation_usd
        soft_limit_percent hard_stop spent_usd reserved_usd remaining_usd created_at updated_at version
    """
    reservation_usd = strawberry.field(description="The amount reserved for a run before it starts.")
    soft_limit_percent = strawberry.field(description="The share of the amount at which users are notified.")
    hard_stop = strawberry.field(description="True if no run is started once the amount is spent.")
    spent_usd = strawberry.field(description="The amount spent today or in total, depending on the period.")
    reserved_usd = strawberry.field(description="The amount reserved for active runs and calls.")
    remaining_usd = strawberry.field(description="The part that is neither spent nor reserved.")


USAGE = "calls unpriced_calls input_tokens output_tokens cached_input_tokens cache_creation_tokens cost_usd"
UNPRICED = "Calls without a known price, which count as free."


@node(cost_ops.RunUsage)
class RunUsageType:
    """The usage and cost of a run's model calls."""

    fields = USAGE
    unpriced_calls = strawberry.field(description=UNPRICED)


@node(MissionUsage)
class MissionUsageType:
    """The usage and cost of the model calls of a mission's work."""

    fields = USAGE
    unpriced_calls = strawberry.field(description=UNPRICED)


@node(TaskUsage)
class TaskUsageType:
    """The usage and cost of the model calls of a task's last attempt."""

    fields = USAGE
    unpriced_calls = strawberry.field(description=UNPRICED)


@node(cost_ops.CostOfDay)
class CostOfDayType:
    """Tokens and costs of the model calls of a day (UTC). Days without calls are omitted."""

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
    cost_breakdown = query(cost_ops.break_down_costs)
    spend_by_crew = query(cost_ops.spend_by_crew)
    spend_by_agent = query(cost_ops.spend_by_agent)
    spend_by_mission = query(cost_ops.spend_by_mission)
    top_spenders = query(cost_ops.find_top_spenders)
    subscription_usage = query(cost_ops.get_subscription_usage)
    journal_spend = query(cost_ops.get_journal_spend)
    model_calls = query(cost_ops.list_model_calls, ModelCallType)
    model_prices = query(cost_ops.list_model_prices, ModelPriceType)
    budgets = query(cost_ops.list_budgets, BudgetType)
    budget = query(cost_ops.get_budget, BudgetType)


@strawberry.type
class CostMutation:
    set_model_price = mutation(cost_ops.set_model_price, ModelPriceType)
    delete_model_price = mutation(cost_ops.delete_model_price)
    create_budget = mutation(cost_ops.create_budget, BudgetType)
    update_budget = mutation(cost_ops.update_budget, BudgetType)
    delete_budget = mutation(cost_ops.delete_budget)
