"""Prices that a workspace sets for models: list, set, delete."""

from datetime import UTC, date
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import or_
from sqlmodel import col

from models.bounds import LINE
from models.resources.costs import ModelPrice
from resolvers.kernel import (
    ENDS,
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Filter,
    Float,
    Input,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Subject,
    Text,
    Topic,
    command,
    derived,
    graph,
    query,
)
from resolvers.resources.costs.ledger import MONEY
from resolvers.resources.costs.money import dollars, micros_of
from resolvers.resources.costs.pricing import MOST_PRICES, ring_of

PRICE = Subject(ModelPrice, "id", called="Price")
FULL = f"A workspace has at most {MOST_PRICES:,} prices. Delete old ones"
PerMillion = Annotated[Float, Field(ge=0, le=1_000_000)]
Name = Annotated[Text, Field(min_length=1, max_length=LINE)]

graph(
    ModelPrice,
    gate=MONEY,
    scope="workspace:read",
    visible=EVERYONE,
    input_usd=derived(float, lambda price, scope: dollars(price.input_micros)),
    output_usd=derived(float, lambda price, scope: dollars(price.output_micros)),
    cached_input_usd=derived(float | None, lambda price, scope: dollars(price.cached_input_micros)),
)


class ListModelPrices(Paging):
    """`model` matches exactly."""

    model: Annotated[Text | None, Filter(ModelPrice.model, leads=True)] = None


class SetModelPrice(Input):
    """US dollars per million tokens. Without `cached_input_usd`, tokens read from a cache cost as much as other input;
    tokens written to a cache always do. `since` is a day by UTC, today by default.
    """

    model: Name
    input_usd: PerMillion
    output_usd: PerMillion
    cached_input_usd: PerMillion | None = None
    since: Annotated[date, ENDS] | None = None


@query("model_prices.list", MONEY, surfaces=GRAPHQL_ONLY, tickets=False)
def list_model_prices(scope: QueryScope, data: ListModelPrices) -> Page[ModelPrice]:
    """List the own prices of a workspace.

    Sorted by model, then by `since`, latest first.
    """
    order = (col(ModelPrice.model), col(ModelPrice.since).desc(), col(ModelPrice.id))
    return scope.select(ModelPrice).matching(data).order_by(*order).page(data)


@command("model_prices.set", Action.MANAGE, surfaces=GRAPHQL_ONLY, audit="model_price.set", errors=(Code.CONFLICT,))
async def set_model_price(ctx: Context, data: SetModelPrice) -> ModelPrice:
    """Set the price of a model in the workspace.

    It precedes the published price, in every process within seconds. Calls from `since` on are priced by it; calls that
    were booked before keep their cost. The price of the same model and day is replaced.
    """
    await ctx.lock(f"prices of models of {ctx.workspace_id}")
    since = data.since or (await ctx.now()).astimezone(UTC).date()
    others = or_(col(ModelPrice.model) != data.model, col(ModelPrice.since) != since)
    if await ctx.select(ModelPrice, others).count() >= MOST_PRICES:
        raise Refusal(Code.CONFLICT, FULL)
    amounts: dict[str, Any] = {
        f"{kind}_micros": micros_of(getattr(data, f"{kind}_usd")) for kind in ("input", "output")
    }
    cached = None if data.cached_input_usd is None else micros_of(data.cached_input_usd)
    ctx.ring(Topic.settings, ring_of(ctx.workspace_id or ""))
    made = ModelPrice(model=data.model, since=since, cached_input_micros=cached, **amounts)
    return await ctx.upsert(made, "workspace_id", "model", "since")


@command("model_prices.delete", Action.MANAGE, subject=PRICE, surfaces=GRAPHQL_ONLY, audit="model_price.deleted")
async def delete_model_price(ctx: Context, price: ModelPrice, data: ById) -> Deleted:
    """Delete a price of a model.

    Later calls have the model's earlier price in the workspace, or the published one.
    """
    await ctx.delete(ModelPrice, price.id)
    ctx.ring(Topic.settings, ring_of(ctx.workspace_id or ""))
    return Deleted(id=price.id)
