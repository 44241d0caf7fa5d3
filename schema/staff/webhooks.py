"""GraphQL: webhooks of agents."""

from datetime import datetime

import strawberry

from models.staff.webhooks import WebhookReceipt
from resolvers.staff import webhooks as webhook_ops
from schema.bridge.fields import mutation, node, output, query

output(
    webhook_ops.Webhook,
    description="The signature scheme of deliveries to an agent.",
    fields={"path": "What it is sent to; null for an agent of no crew."},
)
output(webhook_ops.WebhookSecretRotated, fields={"rotated_at": datetime})
output(webhook_ops.Tested, name="WebhookTested")


@node(WebhookReceipt)
class WebhookReceiptType:
    """A delivery from outside, accepted or refused; or several that are alike."""

    fields = "id agent_id event source scheme result reason times last_at run_id run created_at"
    scheme = strawberry.field(description="How it says that it was signed.")
    reason = strawberry.field(description="Why it was refused.")
    times = strawberry.field(
        description="The number of deliveries that this entry stands for: of similar ones, only some are listed."
    )
    last_at = strawberry.field(description="When the last of several came.")


@strawberry.type
class WebhookQuery:
    agent_webhook = query(webhook_ops.get_webhook)
    webhook_receipts = query(webhook_ops.list_receipts, WebhookReceiptType)


@strawberry.type
class WebhookMutation:
    configure_agent_webhook = mutation(webhook_ops.configure_webhook)
    rotate_agent_webhook_secret = mutation(webhook_ops.rotate_secret)
    test_agent_webhook = mutation(webhook_ops.test_webhook)
