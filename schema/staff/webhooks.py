"""GraphQL: webhooks of agents."""

from datetime import datetime

import strawberry

from models.staff.webhooks import WebhookReceipt
from resolvers.staff import webhooks as webhook_ops
from schema.bridge.fields import mutation, node, output, query

output(webhook_ops.Webhook, fields={"path": "The path for deliveries; null for an agent without a crew."})
output(webhook_ops.WebhookSecretRotated, fields={"rotated_at": datetime})
output(webhook_ops.Tested, name="WebhookTested")


@node(WebhookReceipt)
class WebhookReceiptType:
    """A received delivery, accepted or refused, or several similar ones."""

    fields = "id agent_id event source scheme result reason times last_at run_id run created_at"
    scheme = strawberry.field(description="The claimed signature scheme.")
    reason = strawberry.field(description="The reason for the refusal.")
    times = strawberry.field(description="The number of similar deliveries that this entry represents.")
    last_at = strawberry.field(description="The time of the last similar delivery.")


@strawberry.type
class WebhookQuery:
    agent_webhook = query(webhook_ops.get_webhook)
    webhook_receipts = query(webhook_ops.list_receipts, WebhookReceiptType)


@strawberry.type
class WebhookMutation:
    configure_agent_webhook = mutation(webhook_ops.configure_webhook)
    rotate_agent_webhook_secret = mutation(webhook_ops.rotate_secret)
    test_agent_webhook = mutation(webhook_ops.test_webhook)
