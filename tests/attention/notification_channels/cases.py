"""Cases of notification channels, for the tests that are made for every operation."""

from models.attention.notification_channels import ChannelType, NotificationChannel
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.sealing import sealed_before


@entity
def notification_channel(plot: Plot) -> NotificationChannel:
    made = NotificationChannel(
        type=ChannelType.webhook,
        url="http://127.0.0.1:9/hook",
        address="crew@example.com",
        events=["run.failed"],
        created_by=plot.owner.user_id,
        **plot.here,
    )
    made.secret = sealed_before("secret", table=NotificationChannel, column="secret", row_id=made.id)
    return made


WEBHOOK = {"type": "webhook", "url": "https://example.com/hook", "events": ["run.failed"]}
RECIPES = {
    "notification_channels.create": Recipe(WEBHOOK),
    "notification_channels.delete": Recipe(ids={"id": "notification_channel"}),
    "notification_channels.test": Recipe(ids={"id": "notification_channel"}, refused=Code.BAD_GATEWAY),
}
