"""GraphQL: webhooks of agents."""

from datetime import datetime

import strawberry

from models.webhooks import WebhookReceipt
from resolvers import webhooks as webhook_ops
from schema.bridge import Edge, mutation, node, output, query


@node(WebhookReceipt)
class WebhookReceiptType:
    """A delivery from outside that was accepted, or a test of the webhook."""

    id: strawberry.ID
    agent_id: strawberry.ID
    event: str
    source: str
    scheme: str = strawberry.field(description="How it was signed.")
    run_id: strawberry.ID
    run: Edge | None
    created_at: datetime


@output(webhook_ops.WebhookSecretRotated)
class WebhookSecretRotatedType:
    """The new secret. It is shown only here."""

    webhook_secret: str
    rotated_at: datetime


@output(webhook_ops.Tested, name="WebhookTested")
class WebhookTestedType:
    """The run that the test has started."""

    run_id: strawberry.ID


@strawberry.type
class WebhookQuery:
    webhook_receipts = query(webhook_ops.list_receipts, WebhookReceiptType)


@strawberry.type
class WebhookMutation:
    rotate_agent_webhook_secret = mutation(webhook_ops.rotate_secret, WebhookSecretRotatedType)
    test_agent_webhook = mutation(webhook_ops.test_webhook, WebhookTestedType)
