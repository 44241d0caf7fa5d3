"""REST: webhook endpoints, and the log of deliveries."""

from models.attention.webhook_endpoints import WebhookDelivery, WebhookEndpoint
from resolvers.attention import webhook_endpoints as endpoints
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class WebhookEndpointJSON(Wire, of=WebhookEndpoint):
    fields = """
        id workspace_id name url event_types enabled failing_since old_secret_until created_by created_at updated_at
    """
    absent = "created_by"


class WebhookDeliveryJSON(Wire, of=WebhookDelivery):
    """`answer` is the beginning of the receiver's last response."""

    fields = """
        id endpoint_id event_type subject payload state attempts next_attempt_at status answer error happened_at
        created_at delivered_at
    """


BASE = "/api/v1/webhook-endpoints"
ROUTES = (
    GET(BASE, endpoints.list_endpoints, list[WebhookEndpointJSON]),
    POST(BASE, endpoints.create_endpoint, endpoints.EndpointSecret, status=201),
    GET(f"{BASE}/{{id}}", endpoints.get_endpoint, WebhookEndpointJSON),
    PATCH(f"{BASE}/{{id}}", endpoints.update_endpoint, WebhookEndpointJSON),
    DELETE(f"{BASE}/{{id}}", endpoints.delete_endpoint, status=204),
    POST(f"{BASE}/{{id}}/rotate-secret", endpoints.rotate_secret, endpoints.EndpointSecret),
    GET(f"{BASE}/{{id}}/deliveries", endpoints.list_deliveries, list[WebhookDeliveryJSON]),
    POST(f"{BASE}/{{id}}/deliveries/{{deliveryId}}/redeliver", endpoints.redeliver, WebhookDeliveryJSON),
)
