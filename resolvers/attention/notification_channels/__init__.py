"""Notification channels: mail, webhooks and services of others that receive notifications."""

from resolvers.attention.notification_channels.agents import (
    AgentAllowed,
    AgentChannels,
    AgentDenied,
    ChannelAgents,
    allow_agent,
    deny_agent,
    list_agents,
    list_channels_of_agent,
)
from resolvers.attention.notification_channels.agents_sending import (
    AgentNotificationSent,
    OpenChannels,
    list_open_channels,
    send_of_agent,
)
from resolvers.attention.notification_channels.channels import (
    ChannelCreated,
    ChannelDeleted,
    ChannelUpdated,
    create_channel,
    delete_channel,
    list_channels,
    update_channel,
)
from resolvers.attention.notification_channels.switches import (
    NotificationProviders,
    ProviderSwitched,
    list_providers,
    switch_provider,
)
from resolvers.attention.notification_channels.testing import ChannelTested, DraftTested, test_channel, test_draft
from resolvers.kernel import Domain

DOMAIN = Domain("notification_channels", scopes="workspace")
