"""Webhooks of agents: deliveries from outside start runs."""

from resolvers.kernel import Domain
from resolvers.staff.webhooks.receipts import list_receipts
from resolvers.staff.webhooks.secret import (
    Webhook,
    WebhookSecret,
    WebhookSecretRotated,
    configure_webhook,
    get_secret,
    get_webhook,
    rotate_secret,
)
from resolvers.staff.webhooks.triggering import Accepted, Tested, test_webhook, trigger

DOMAIN = Domain("webhooks")
