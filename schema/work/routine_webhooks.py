"""GraphQL: webhooks of routines."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.work.routine_webhooks import RoutineWebhook
from resolvers.work import routine_webhooks as webhook_ops
from schema.bridge.fields import mutation, node, output, query

output(
    webhook_ops.RoutineWebhookCreated,
    fields={"created_at": datetime, "updated_at": datetime, "inputs_template": JSON},
)


@node(RoutineWebhook)
class RoutineWebhookType:
    """An address to which another system posts events that start runs of a routine."""

    fields = """
        id workspace_id name routine_id routine routine_slug routine_version scheme inputs_template enabled
        rate_limit_per_min last_fired_at last_status last_run_id fire_count run_as_id run_as runs created_at updated_at
    """
    routine_slug = strawberry.field(description="Null once the routine is deleted.")
    routine_version = strawberry.field(description="The pinned version; null runs the head.")
    scheme = strawberry.field(description="The signature scheme of the sender.")
    rate_limit_per_min = strawberry.field(description="Deliveries a minute; 0 or less is 600.")
    run_as = strawberry.field(description="The member in whose name runs start.")


@strawberry.type
class RoutineWebhookQuery:
    routine_webhooks = query(webhook_ops.list_routine_webhooks, RoutineWebhookType)


@strawberry.type
class RoutineWebhookMutation:
    create_routine_webhook = mutation(webhook_ops.create_routine_webhook)
    delete_routine_webhook = mutation(webhook_ops.delete_routine_webhook)
