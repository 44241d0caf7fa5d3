"""Webhook endpoints: the events of a workspace, delivered to servers of others."""

from resolvers.attention.webhook_endpoints.deliveries import list_deliveries, redeliver, send_test
from resolvers.attention.webhook_endpoints.endpoints import (
    EndpointSecret,
    create_endpoint,
    delete_endpoint,
    get_endpoint,
    list_endpoints,
    rotate_secret,
    update_endpoint,
)
from resolvers.kernel import Domain

DOMAIN = Domain("webhook_endpoints", scopes="webhooks")
