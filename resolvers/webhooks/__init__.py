"""Webhooks of agents: what others send starts a run."""

from resolvers.webhooks.secret import WebhookSecret, WebhookSecretRotated, get_secret, rotate_secret
from resolvers.webhooks.triggering import Accepted, Tested, list_receipts, test_webhook, trigger

__all__ = [
    "Accepted", "Tested", "WebhookSecret", "WebhookSecretRotated", "get_secret", "list_receipts", "rotate_secret",
    "test_webhook", "trigger",
]  # fmt: skip
