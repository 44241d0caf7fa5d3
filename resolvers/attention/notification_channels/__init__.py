"""Notification channels: mail and webhooks that tell of ends of runs, and of what is to be decided."""

from resolvers.attention.notification_channels.channels import (
    ChannelCreated,
    ChannelDeleted,
    ChannelTested,
    create_channel,
    delete_channel,
    list_channels,
    test_channel,
)
from resolvers.kernel import Domain

DOMAIN = Domain("notification_channels", scopes="workspace")
