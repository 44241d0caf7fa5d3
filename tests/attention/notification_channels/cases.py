"""Cases of notification channels, for the tests that are made for every operation."""

from models.attention.inbox import InboxPriority
from models.attention.notification_channels import (
    ChannelProvider,
    ChannelType,
    NotificationChannel,
    NotificationChannelAgent,
    NotificationProviderSwitch,
)
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.sealing import sealed_before
from tests.world import now

PROSE = (
    "notification_channels.create", "notification_channels.update", "notification_channels.delete",
    "notification_channels.test", "notification_channels.agents_list", "notification_channels.agents_allow",
    "notification_channels.agents_deny",
)  # fmt: skip


@entity
def notification_channel(plot: Plot) -> NotificationChannel:
    made = NotificationChannel(
        type=ChannelType.webhook,
        url="http://127.0.0.1:9/hook",
        address="crew@example.com",
        provider=ChannelProvider.ntfy,
        events=["run.failed"],
        categories=["memory"],
        min_priority=InboxPriority.medium,
        created_by=plot.owner.user_id,
        **plot.here,
    )
    made.secret = sealed_before("secret", table=NotificationChannel, column="secret", row_id=made.id)
    return made


@entity
def notification_provider_switch(plot: Plot) -> NotificationProviderSwitch:
    return NotificationProviderSwitch(provider=ChannelProvider.gotify, enabled=True, **plot.here)


@entity
def notification_channel_agent(plot: Plot) -> NotificationChannelAgent:
    return NotificationChannelAgent(
        channel_id=plot["notification_channel"].id,
        agent_id=plot["agent"].id,
        granted_by=plot.owner.user_id,
        created_at=now(),
        **plot.here,
    )


WEBHOOK = {"type": "webhook", "url": "https://example.com/hook"}
OF_CHANNEL = {"id": "notification_channel"}
RECIPES = {
    "notification_channels.create": Recipe(WEBHOOK | {"events": ["run.failed"]}),
    "notification_channels.update": Recipe({"enabled": False, "categories": ["memory"]}, ids=OF_CHANNEL),
    "notification_channels.delete": Recipe(ids=OF_CHANNEL),
    "notification_channels.test": Recipe(ids=OF_CHANNEL, refused=Code.BAD_GATEWAY),
    "notification_channels.test_draft": Recipe(WEBHOOK | {"url": "http://127.0.0.1:9/hook"}, refused=Code.BAD_GATEWAY),
    "notification_channels.agents_list": Recipe(ids=OF_CHANNEL),
    "notification_channels.agents_allow": Recipe(ids=OF_CHANNEL),
    "notification_channels.agents_deny": Recipe(ids=OF_CHANNEL),
    "internal.notifications.send": Recipe(
        {"title": "Done", "channel_id": "nch_none"}, chosen=frozenset({"channel_id"}), refused=Code.FORBIDDEN
    ),
    "notification_providers.update": Recipe({"provider": "slack", "enabled": False}),
}
