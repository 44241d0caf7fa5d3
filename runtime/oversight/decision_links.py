"""Follows questions and notifies channels."""

from resolvers.attention.notification_channels.delivery import Refused, send
from resolvers.instance.telemetry import log
from resolvers.oversight.decision_links.asking import ASK, FOLLOW, OfItem, enqueue_questions, letter_of, make_link
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

TIME = 60.0  # seconds


@ticks(FOLLOW)
async def follow_questions(tick: Tick) -> None:
    while await tick.write(enqueue_questions):
        pass


@carries(ASK)
async def ask(work: Work, data: OfItem) -> None:
    """Retries with the same link; does not retry a refusal."""
    await work.write("link", lambda ctx: make_link(ctx, data))
    found = await work.read(lambda ctx: letter_of(ctx, data))
    if found is None:
        return
    channel, asked = found
    try:
        await work.call("deliver", lambda key: send(channel, asked, key), timeout=TIME)
    except Refused as error:
        log.warning("a notification channel refuses", channel=channel.id, cause=str(error))
