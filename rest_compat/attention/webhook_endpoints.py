"""REST: webhook endpoints, and the log of deliveries."""

from typing import Annotated, Any

from models.attention.webhook_endpoints import DeliveryState, WebhookDelivery, WebhookEndpoint
from resolvers.attention import webhook_endpoints as endpoints
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, Wire


class WebhookEndpointJSON(Wire, of=WebhookEndpoint):
    id: str
    workspace_id: str
    name: str
    url: str
    event_types: list[str]
    enabled: bool
    failing_since: str | None
    old_secret_until: str | None
    created_by: Annotated[str | None, Absent()]
    created_at: str
    updated_at: str


class WebhookDeliveryJSON(Wire, of=WebhookDelivery):
    """`answer` is the beginning of what the receiver said to the last attempt."""

    id: str
    endpoint_id: str
    event_type: str
    subject: str
    payload: dict[str, Any]
    state: DeliveryState
    attempts: int
    next_attempt_at: str | None
    status: int | None
    answer: str | None
    error: str | None
    happened_at: str
    created_at: str
    delivered_at: str | None


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
