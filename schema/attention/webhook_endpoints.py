"""GraphQL: webhook endpoints, and the log of deliveries."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.attention.webhook_endpoints import DeliveryState, WebhookDelivery, WebhookEndpoint
from resolvers.attention import webhook_endpoints as endpoint_ops
from schema.bridge.fields import Edge, enum, mutation, node, output, query
from schema.bridge.results import DeletedType

enum(DeliveryState, name="WebhookDeliveryState")


@node(WebhookEndpoint)
class WebhookEndpointType:
    """A URL that the events of a workspace are delivered to, signed as Standard Webhooks say."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    name: str
    url: str
    event_types: list[str] = strawberry.field(description="Names of events, or `*` for all.")
    enabled: bool
    failing_since: datetime | None = strawberry.field(description="Since when nothing was delivered; null if it is.")
    old_secret_until: datetime | None = strawberry.field(description="Until when the secret before signs, too.")
    created_by: strawberry.ID | None
    created_at: datetime
    updated_at: datetime
    version: int


@node(WebhookDelivery)
class WebhookDeliveryType:
    """One event for one endpoint. `id` is what the receiver gets as `webhook-id`, with each attempt."""

    id: strawberry.ID
    endpoint_id: strawberry.ID
    endpoint: Edge
    event_type: str
    subject: str = strawberry.field(description="Deliveries of one subject are made in order.")
    payload: JSON
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    status: int | None
    answer: str | None = strawberry.field(description="Beginning of the receiver's last answer.")
    error: str | None
    happened_at: datetime
    created_at: datetime
    delivered_at: datetime | None


@output(endpoint_ops.EndpointSecret, name="WebhookEndpointSecret")
class WebhookEndpointSecretType:
    id: strawberry.ID
    secret: str = strawberry.field(description="Shown only here.")


@strawberry.type
class WebhookEndpointQuery:
    webhook_endpoints = query(endpoint_ops.list_endpoints, WebhookEndpointType)
    webhook_endpoint = query(endpoint_ops.get_endpoint, WebhookEndpointType)
    webhook_deliveries = query(endpoint_ops.list_deliveries, WebhookDeliveryType)


@strawberry.type
class WebhookEndpointMutation:
    create_webhook_endpoint = mutation(endpoint_ops.create_endpoint, WebhookEndpointSecretType)
    update_webhook_endpoint = mutation(endpoint_ops.update_endpoint, WebhookEndpointType)
    delete_webhook_endpoint = mutation(endpoint_ops.delete_endpoint, DeletedType)
    rotate_webhook_endpoint_secret = mutation(endpoint_ops.rotate_secret, WebhookEndpointSecretType)
    redeliver_webhook = mutation(endpoint_ops.redeliver, WebhookDeliveryType)
