"""GraphQL: notification channels."""

from datetime import datetime

import strawberry

from models.attention.notification_channels import ChannelEvent, ChannelType, NotificationChannel
from resolvers.attention import notification_channels as channel_ops
from schema.bridge.fields import enum, mutation, node, output, query

enum(ChannelType, name="NotificationChannelType")
enum(ChannelEvent, name="NotificationChannelEvent")


@node(NotificationChannel)
class NotificationChannelNode:
    """An email address or URL that receives ended runs and pending decisions."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    type: ChannelType
    url: str | None = strawberry.field(description="Of a webhook.")
    address: str | None = strawberry.field(description="Of an email channel.")
    events: list[str] = strawberry.field(description="run.completed, run.failed, decision.requested: some of them.")
    enabled: bool
    created_by: strawberry.ID | None
    created_at: datetime


@output(channel_ops.ChannelCreated, name="CreatedNotificationChannel")
class CreatedNotificationChannelType:
    id: strawberry.ID
    workspace_id: strawberry.ID
    type: ChannelType
    url: str | None
    to: str | None
    events: list[ChannelEvent]
    enabled: bool
    created_by: strawberry.ID | None
    secret: str | None = strawberry.field(description="Of a webhook; shown only here.")


@output(channel_ops.ChannelDeleted, name="DeletedNotificationChannel")
class DeletedNotificationChannelType:
    deleted: strawberry.ID


@output(channel_ops.ChannelTested, name="TestedNotificationChannel")
class TestedNotificationChannelType:
    ok: bool
    channel_id: strawberry.ID


@strawberry.type
class NotificationChannelQuery:
    notification_channels = query(channel_ops.list_channels, NotificationChannelNode)


@strawberry.type
class NotificationChannelMutation:
    create_notification_channel = mutation(channel_ops.create_channel, CreatedNotificationChannelType)
    delete_notification_channel = mutation(channel_ops.delete_channel, DeletedNotificationChannelType)
    test_notification_channel = mutation(channel_ops.test_channel, TestedNotificationChannelType)
