"""GraphQL: notification channels."""

import strawberry

from models.attention.notification_channels import ChannelEvent, ChannelType, NotificationChannel
from resolvers.attention import notification_channels as channel_ops
from schema.bridge.fields import enum, mutation, node, output, query

output(
    channel_ops.ChannelCreated,
    name="CreatedNotificationChannel",
    fields={"created_by": strawberry.ID | None, "secret": "The webhook's secret; returned only here."},
)
output(channel_ops.ChannelDeleted, name="DeletedNotificationChannel", fields={"deleted": strawberry.ID})
output(channel_ops.ChannelTested, name="TestedNotificationChannel")


enum(ChannelType, name="NotificationChannelType")
enum(ChannelEvent, name="NotificationChannelEvent")


@node(NotificationChannel)
class NotificationChannelNode:
    """An email address or URL that receives ended runs and pending decisions."""

    fields = "id workspace_id type url address events enabled created_by created_at"
    url = strawberry.field(description="The address of a webhook.")
    address = strawberry.field(description="The address of an email channel.")
    events = strawberry.field(description="A subset of run.completed, run.failed and decision.requested.")
    created_by: strawberry.ID | None


@strawberry.type
class NotificationChannelQuery:
    notification_channels = query(channel_ops.list_channels, NotificationChannelNode)


@strawberry.type
class NotificationChannelMutation:
    create_notification_channel = mutation(channel_ops.create_channel)
    delete_notification_channel = mutation(channel_ops.delete_channel)
    test_notification_channel = mutation(channel_ops.test_channel)
