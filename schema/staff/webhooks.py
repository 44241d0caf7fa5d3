"""GraphQL: webhooks of agents."""

from datetime import datetime

import strawberry

from models.staff.agents import WebhookScheme
from models.staff.webhooks import WebhookReceipt, WebhookResult
from resolvers.staff import webhooks as webhook_ops
from schema.bridge.fields import Edge, mutation, node, output, query


@node(WebhookReceipt)
class WebhookReceiptType:
    """A delivery from outside, accepted or refused; or several that are alike."""

    id: strawberry.ID
    agent_id: strawberry.ID
    event: str
    source: str
    scheme: str = strawberry.field(description="How it says that it was signed.")
    result: WebhookResult
    reason: str | None = strawberry.field(description="Why it was refused.")
    times: int = strawberry.field(
        description="The number of deliveries that this entry stands for: of similar ones, only some are listed."
    )
    last_at: datetime | None = strawberry.field(description="When the last of several came.")
    run_id: strawberry.ID | None
    run: Edge | None
    created_at: datetime


@output(webhook_ops.Webhook)
class WebhookType:
    """The signature scheme of deliveries to an agent."""

    agent_id: strawberry.ID
    scheme: WebhookScheme
    require_timestamp: bool
    has_secret: bool
    path: str | None = strawberry.field(description="What it is sent to; null for an agent of no crew.")


@output(webhook_ops.WebhookSecretRotated)
class WebhookSecretRotatedType:
    """The new secret. It is shown only here."""

    webhook_secret: str
    rotated_at: datetime


@output(webhook_ops.Tested, name="WebhookTested")
class WebhookTestedType:
    """The run that the test has started, and how the delivery was signed."""

    run_id: strawberry.ID
    scheme: WebhookScheme


@strawberry.type
class WebhookQuery:
    agent_webhook = query(webhook_ops.get_webhook, WebhookType)
    webhook_receipts = query(webhook_ops.list_receipts, WebhookReceiptType)


@strawberry.type
class WebhookMutation:
    configure_agent_webhook = mutation(webhook_ops.configure_webhook, WebhookType)
    rotate_agent_webhook_secret = mutation(webhook_ops.rotate_secret, WebhookSecretRotatedType)
    test_agent_webhook = mutation(webhook_ops.test_webhook, WebhookTestedType)
