"""Tests of channels, also of those that are not stored."""

import asyncio
from typing import Literal

from models.attention.notification_channels import ChannelEvent, ChannelType, NotificationChannel
from resolvers.attention.notification_channels.channels import CHANNEL, check_place, may_remove
from resolvers.attention.notification_channels.delivery import NotDelivered, Refused, Target, deliver, secret_of
from resolvers.attention.notification_channels.places import ChannelPlace
from resolvers.attention.notification_channels.sending import Letter
from resolvers.attention.notification_channels.switches import is_off
from resolvers.kernel import Action, ById, Code, Context, Output, Refusal, procedure
from resolvers.kernel.ground.pace import Pace

NOT_DELIVERED = "The test could not be delivered"
TEST_TIME = 20.0  # seconds
PAUSES = (0.2, 0.4)  # seconds
DRAFT_SECRET = "draft-test"
TESTS = Pace(60, "Too many tests; try again in a minute")


class ChannelTested(Output):
    """The test was delivered."""

    ok: Literal[True] = True
    channel_id: str


class DraftTested(Output):
    """The test was delivered."""

    ok: Literal[True] = True


class DraftChannel(ChannelPlace):
    """`url` and `secret` are for webhooks, `to` for email. For `shoutrrr`, `provider` names the service, and `fields`
    has the values that `notificationProviders` asks for; `shoutrrr_url` can be given instead.
    """


async def _try(target: Target, key: str) -> None:
    """Sends the sample; raises Refusal where it could not be delivered."""
    letter = Letter(event=ChannelEvent.completed, run_id="test", routine="test", status="COMPLETED")
    try:
        async with asyncio.timeout(TEST_TIME):
            for pause in PAUSES:
                try:
                    return await deliver(target, letter, key)
                except Refused:
                    raise
                except NotDelivered:
                    await asyncio.sleep(pause)
            await deliver(target, letter, key)
    except (NotDelivered, TimeoutError):
        raise Refusal(Code.BAD_GATEWAY, NOT_DELIVERED) from None


@procedure(
    "notification_channels.test",
    Action.PARTICIPATE,
    subject=CHANNEL,
    allow=may_remove,
    errors=(Code.BAD_GATEWAY, Code.RATE_LIMITED),
    late=True,
    tickets=False,
)
async def test_channel(ctx: Context, channel: NotificationChannel, data: ById) -> ChannelTested:
    """Send a test to a notification channel.

    Sends a sample notification of a finished run, in at most three attempts. Ends after 20 seconds at the latest.
    """
    TESTS.take(ctx.user_id)
    if await is_off(ctx, channel.provider):
        raise Refusal(Code.BAD_GATEWAY, NOT_DELIVERED)
    target = Target(channel.type, channel.url or "", channel.address or "", channel.provider, await secret_of(channel))
    await _try(target, f"test of {channel.id}")
    return ChannelTested(channel_id=channel.id)


@procedure(
    "notification_channels.test_draft",
    Action.READ,
    errors=(Code.BAD_GATEWAY, Code.RATE_LIMITED),
    late=True,
    tickets=False,
)
async def test_draft(ctx: Context, data: DraftChannel) -> DraftTested:
    """Send a test to a place that is not stored.

    Sends the sample that a stored channel would receive. A webhook without a secret is signed with `draft-test`.
    Private addresses are refused as for stored channels.
    """
    TESTS.take(ctx.user_id)
    await check_place(ctx, data)
    secret = data.service_address() if data.type is ChannelType.shoutrrr else data.secret or DRAFT_SECRET
    await _try(Target(data.type, data.url or "", data.to or "", data.provider, secret), f"test by {ctx.user_id}")
    return DraftTested()
