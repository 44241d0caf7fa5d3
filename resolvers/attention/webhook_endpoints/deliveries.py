"""The log of deliveries."""

from typing import Annotated, Any

from sqlmodel import col

from models.attention.webhook_endpoints import DeliveryState, WebhookDelivery, WebhookEndpoint, delivery_id
from resolvers.attention.webhook_endpoints.endpoints import ENDPOINT
from resolvers.attention.webhook_endpoints.sending import DELIVER, TEST, lane_of
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    ById,
    Code,
    Context,
    Filter,
    Id,
    Input,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Subject,
    command,
    graph,
    one,
    query,
)

NEWEST_FIRST = (col(WebhookDelivery.created_at).desc(), col(WebhookDelivery.id).desc())
DELIVERY = Subject(WebhookDelivery, "delivery_id", of=ENDPOINT, key="endpoint_id", called="Delivery")
WAITS = "The delivery is still pending"
DISABLED = "The endpoint is disabled; enable it first"
TESTED = "A test of this endpoint is still pending"

graph(
    WebhookDelivery,
    gate=Action.MANAGE,
    scope="webhooks:read",
    visible=EVERYONE,
    endpoint=one(WebhookEndpoint, "endpoint_id"),
)


class ListDeliveries(Paging):
    """Deliveries to one endpoint, in one state if it is given."""

    id: Id
    state: Annotated[DeliveryState | None, Filter(WebhookDelivery.state, leads=True)] = None


class OfEndpoint(Input):
    """`id` is the id of the endpoint."""

    id: Id
    delivery_id: Id


@query("webhook_endpoints.deliveries", Action.MANAGE, subject=ENDPOINT, tickets=False)
def list_deliveries(scope: QueryScope, endpoint: Row[WebhookEndpoint], data: ListDeliveries) -> Page[WebhookDelivery]:
    """List deliveries to a webhook endpoint.

    Newest first, ties by id, descending. Kept for 30 days.
    """
    return scope.children(endpoint, WebhookDelivery, "endpoint_id").matching(data).order_by(*NEWEST_FIRST).page(data)


@command(
    "webhook_endpoints.redeliver",
    Action.MANAGE,
    audit="webhook_delivery.repeated",
    subject=DELIVERY,
    errors=(Code.CONFLICT,),
)
async def redeliver(ctx: Context, delivery: WebhookDelivery, data: OfEndpoint) -> WebhookDelivery:
    """Send a delivery again.

    Uses the same id, so that the receiver can recognise it.
    """
    ended = (col(WebhookDelivery.id) == delivery.id, col(WebhookDelivery.state) != DeliveryState.pending)
    fresh: dict[str, Any] = {"state": DeliveryState.pending, "attempts": 0, "next_attempt_at": None}
    if not await ctx.update_where(WebhookDelivery, *ended, **fresh):
        raise Refusal(Code.CONFLICT, WAITS)
    ctx.enqueue(DELIVER, endpoint_id=delivery.endpoint_id, lane=str(delivery.lane))
    return await ctx.get(WebhookDelivery, delivery.id)


@command(
    "webhook_endpoints.test",
    Action.MANAGE,
    audit="webhook_endpoint.tested",
    subject=ENDPOINT,
    errors=(Code.CONFLICT,),
    surfaces=GRAPHQL_ONLY,
)
async def send_test(ctx: Context, endpoint: WebhookEndpoint, data: ById) -> WebhookDelivery:
    """Send a test to a webhook endpoint.

    Sends one signed delivery of the type `webhook.test`, before all others that wait. A failed test is not repeated,
    and does not count as a failure of the endpoint. CONFLICT if the endpoint is disabled, or a test is pending.
    """
    if not endpoint.enabled:
        raise Refusal(Code.CONFLICT, DISABLED)
    await ctx.lock(f"test of {endpoint.id}")
    pending = (
        col(WebhookDelivery.endpoint_id) == endpoint.id,
        col(WebhookDelivery.state) == DeliveryState.pending,
        col(WebhookDelivery.event_type) == TEST,
    )
    if await ctx.select(WebhookDelivery, *pending).exists():
        raise Refusal(Code.CONFLICT, TESTED)
    lane = lane_of(endpoint.id)
    ctx.enqueue(DELIVER, endpoint_id=endpoint.id, lane=str(lane))
    return await ctx.insert(
        WebhookDelivery(
            id=delivery_id(),
            endpoint_id=endpoint.id,
            event_type=TEST,
            subject=endpoint.id,
            lane=lane,
            payload={"id": endpoint.id, "name": endpoint.name},
            xid=0,
            seq=0,
            happened_at=await ctx.now(),
        )
    )
