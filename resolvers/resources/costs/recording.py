"""Model calls that programs elsewhere report (contract: internal.cost.record)."""

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from sqlmodel import SQLModel

from models.base import new_id, table_of
from models.bounds import LINE
from models.resources.costs import BillingMode, ModelCall
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import Action, Auth, Bool, Context, Float, Id, Input, Int, Output, Text, command, invalid
from resolvers.resources.costs.calling import SUMMED, book, budgets_of_call
from resolvers.resources.costs.events import ALARMS
from resolvers.resources.costs.money import micros
from resolvers.resources.costs.pricing import Used, cost
from resolvers.resources.costs.reserving import alarm, states

REPORTED: Final = "reported"
NAMED: Final[dict[str, type[SQLModel]]] = {"crew_id": Crew, "agent_id": Agent, "mission_id": Mission}
Tokens = Annotated[Int, Field(ge=0)]
Named = Annotated[Text, Field(min_length=1, max_length=LINE)]


def _mode(raw: Any) -> Any:
    """The mode in small letters; the default for an empty text."""
    return (raw.lower() or BillingMode.metered) if isinstance(raw, str) else raw


class RecordCost(Input):
    """A call of a model. `input_tokens` exclude tokens read from or written to a cache. Empty ids name nothing.

    `quota_remaining_pct` and `quota_window` are the rest of the provider's quota, and `had_status_429` says that the
    provider refused the call for now; the ledger shows them.
    """

    workspace_id: Id
    crew_id: Id = ""
    agent_id: Id = ""
    mission_id: Id = ""
    provider: Named
    model: Named
    input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cached_input_tokens: Tokens | None = None
    cache_creation_tokens: Tokens | None = None
    billing_mode: Annotated[BillingMode, BeforeValidator(_mode)] = BillingMode.metered
    subscription_plan: Text = ""
    quota_remaining_pct: Annotated[Float, Field(ge=0, le=100)] | None = None
    quota_window: Text = ""
    had_status_429: Bool = False


class CostRecorded(Output):
    """`id` is the call in the ledger."""

    id: str


@command(
    "internal.cost.record",
    Action.NONE,
    auth=Auth.INTERNAL,
    emits=(*ALARMS, InboxItemUpdated),
    late=True,
)
async def record_cost(ctx: Context, data: RecordCost) -> CostRecorded:
    """Record a model call (for agents' runtimes).

    A metered call costs what its tokens cost by the workspace's price or the published one, and is spent of the
    budgets that concern it; a call at a flat rate costs nothing. Without token counts the call is marked as
    estimated.
    """
    counts = {name: getattr(data, name) for name in SUMMED}
    tokens: dict[str, int] = {name: count or 0 for name, count in counts.items()}
    costs = 0 if data.billing_mode is BillingMode.flat_rate else micros(await _cost(ctx, data, tokens))
    await ctx.begin()
    named: dict[str, Any] = {key: getattr(data, key) or None for key in NAMED}
    for key, model in NAMED.items():
        if (
            named[key] is not None
            and not await ctx.select(model, _is(model, named[key]), including_deleted=True).exists()
        ):
            raise invalid(key, f"there is no such {key.removesuffix('_id')} in this workspace")
    whose = budgets_of_call(named)
    found = await states(ctx, whose)
    id, rest = new_id(), dict[str, Any](tokens)
    call = ModelCall(
        id=id,
        run_id=id,
        step=REPORTED,
        provider=data.provider,
        model=data.model,
        cost_micros=costs,
        estimated=all(count is None for count in counts.values()),
        billing_mode=data.billing_mode,
        subscription_plan=data.subscription_plan or None,
        quota_remaining_pct=data.quota_remaining_pct,
        quota_window=data.quota_window or None,
        rate_limited=data.had_status_429,
        **named,
        **rest,
    )
    await book(ctx, call, found)
    await alarm(ctx, await states(ctx, whose))
    return CostRecorded(id=id)


def _is(model: type[SQLModel], id: str) -> Any:
    """A deleted row counts: what its last calls cost is still paid."""
    return table_of(model).c.id == id


async def _cost(ctx: Context, data: RecordCost, tokens: dict[str, int]) -> float | None:
    cached, written = tokens["cached_input_tokens"], tokens["cache_creation_tokens"]
    used = Used(tokens["input_tokens"] + cached + written, tokens["output_tokens"], cached, written)
    return await cost(ctx.workspace_id or "", "", data.model, used, provider=data.provider)
