"""GraphQL: notification channels, and the services that they send to."""

import strawberry

from models.attention.notification_channels import (
    ChannelEvent,
    ChannelProvider,
    ChannelScope,
    ChannelType,
    NotificationChannel,
)
from resolvers.attention import notification_channels as channel_ops
from resolvers.attention.notification_channels.channels import ListedChannels
from resolvers.attention.notification_channels.providers import FieldType, ServiceCategory
from schema.bridge.fields import enum, mutation, node, output, query

output(
    channel_ops.ChannelCreated,
    name="CreatedNotificationChannel",
    fields={
        "created_by": strawberry.ID | None,
        "owner_user_id": strawberry.ID | None,
        "secret": "The webhook's secret, or the address of the service; returned only here.",
    },
)
output(channel_ops.ChannelUpdated, name="UpdatedNotificationChannel", fields={"updated": strawberry.ID})
output(channel_ops.ChannelDeleted, name="DeletedNotificationChannel", fields={"deleted": strawberry.ID})
output(channel_ops.ChannelTested, name="TestedNotificationChannel")
output(channel_ops.DraftTested, name="TestedNotificationDraft")
output(channel_ops.ChannelAgents, name="NotificationChannelAgents")
output(channel_ops.AgentAllowed, name="AllowedNotificationAgent")
output(channel_ops.AgentDenied, name="DeniedNotificationAgent")
output(channel_ops.AgentChannels, name="AgentNotificationChannels")
output(channel_ops.ProviderSwitched, name="SwitchedNotificationProvider")


enum(ChannelType, name="NotificationChannelType")
enum(ChannelEvent, name="NotificationChannelEvent")
enum(ChannelScope, name="NotificationChannelScope")
enum(ChannelProvider, name="NotificationProviderName")
enum(ListedChannels, name="ListedNotificationChannels")
enum(FieldType, name="NotificationProviderFieldType")
enum(ServiceCategory, name="NotificationProviderKind")


@node(NotificationChannel)
class NotificationChannelNode:
    """An email address, a URL or a service that receives notifications."""

    fields = """
        id workspace_id type url address events enabled created_by created_at provider scope owner_user_id categories
        min_priority viewer_can
    """
    url = strawberry.field(description="The address of a webhook; null for the personal channel of another member.")
    address = strawberry.field(description="The address of an email channel; null as `url` is.")
    events = strawberry.field(description="A subset of run.completed, run.failed and decision.requested.")
    categories = strawberry.field(description="A subset such as routines.completed; null for all categories.")
    created_by: strawberry.ID | None


@strawberry.type
class NotificationChannelQuery:
    notification_channels = query(channel_ops.list_channels, NotificationChannelNode)
    notification_providers = query(channel_ops.list_providers)
    notification_channel_agents = query(channel_ops.list_agents)
    agent_notification_channels = query(channel_ops.list_channels_of_agent)


@strawberry.type
class NotificationChannelMutation:
    create_notification_channel = mutation(channel_ops.create_channel)
    update_notification_channel = mutation(channel_ops.update_channel)
    delete_notification_channel = mutation(channel_ops.delete_channel)
    test_notification_channel = mutation(channel_ops.test_channel)
    test_notification_draft = mutation(channel_ops.test_draft)
    allow_agent_on_channel = mutation(channel_ops.allow_agent)
    deny_agent_on_channel = mutation(channel_ops.deny_agent)
    set_notification_provider = mutation(channel_ops.switch_provider)
