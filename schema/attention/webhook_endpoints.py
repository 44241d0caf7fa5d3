"""GraphQL: webhook endpoints, and the log of deliveries."""

import strawberry

from models.attention.webhook_endpoints import DeliveryState, WebhookDelivery, WebhookEndpoint
from resolvers.attention import webhook_endpoints as endpoint_ops
from schema.bridge.fields import Edge, enum, mutation, node, output, query

output(endpoint_ops.EndpointSecret, name="WebhookEndpointSecret", fields={"secret": "Shown only here."})


enum(DeliveryState, name="WebhookDeliveryState")


@node(WebhookEndpoint)
class WebhookEndpointType:
    """A URL that receives events of a workspace, signed according to Standard Webhooks."""

    fields = """
        id workspace_id name url event_types enabled failing_since old_secret_until created_by created_at updated_at
        version
    """
    event_types = strawberry.field(description="Names of events, or `*` for all.")
    failing_since = strawberry.field(description="The time since which deliveries fail; null while they succeed.")
    old_secret_until = strawberry.field(description="The time until which the previous secret also signs.")
    created_by: strawberry.ID | None


@node(WebhookDelivery)
class WebhookDeliveryType:
    """One event for one endpoint. Each attempt sends `id` as `webhook-id`."""

    fields = """
        id endpoint_id endpoint event_type subject payload state attempts next_attempt_at status answer error
        happened_at created_at delivered_at
    """
    endpoint: Edge
    subject = strawberry.field(description="Deliveries of one subject are made in order.")
    answer = strawberry.field(description="The beginning of the receiver's last response.")


@strawberry.type
class WebhookEndpointQuery:
    webhook_endpoints = query(endpoint_ops.list_endpoints, WebhookEndpointType)
    webhook_endpoint = query(endpoint_ops.get_endpoint, WebhookEndpointType)
    webhook_deliveries = query(endpoint_ops.list_deliveries, WebhookDeliveryType)


@strawberry.type
class WebhookEndpointMutation:
    create_webhook_endpoint = mutation(endpoint_ops.create_endpoint)
    update_webhook_endpoint = mutation(endpoint_ops.update_endpoint, WebhookEndpointType)
    delete_webhook_endpoint = mutation(endpoint_ops.delete_endpoint)
    rotate_webhook_endpoint_secret = mutation(endpoint_ops.rotate_secret)
    redeliver_webhook = mutation(endpoint_ops.redeliver, WebhookDeliveryType)
    test_webhook_endpoint = mutation(endpoint_ops.send_test, WebhookDeliveryType)
