"""Webhooks of routines: signed events from outside start runs."""

from resolvers.kernel import Domain
from resolvers.work.routine_webhooks.deliveries import DeliveryAccepted, fire_routine_webhook
from resolvers.work.routine_webhooks.webhooks import (
    RoutineWebhookCreated,
    create_routine_webhook,
    delete_routine_webhook,
    list_routine_webhooks,
)

DOMAIN = Domain("routine_webhooks", scopes="webhooks")
