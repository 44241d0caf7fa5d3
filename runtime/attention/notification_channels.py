"""Follows ends of runs and notifies channels."""

from resolvers.attention.notification_channels.delivery import Refused, send
from resolvers.attention.notification_channels.sending import DELIVER, FOLLOW, OfEnd, enqueue_letters, letter_of
from resolvers.instance.telemetry import log
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

TIME = 60.0  # seconds


@ticks(FOLLOW)
async def follow_ends(tick: Tick) -> None:
    while await tick.write(enqueue_letters):
        pass


@carries(DELIVER)
async def deliver(work: Work, data: OfEnd) -> None:
    """Retries if the receiver is unreachable, busy or failing; does not retry a refusal."""
    found = await work.read(lambda ctx: letter_of(ctx, data))
    if found is None:
        return
    channel, letter = found
    try:
        await work.call("deliver", lambda key: send(channel, letter, key), timeout=TIME)
    except Refused as error:
        log.warning("a notification channel refuses", channel=channel.id, cause=str(error))
