"""The outbox is followed for members who have chosen channels; messages are sent, held and tried again."""

from datetime import UTC, datetime

from resolvers.attention.notification_deliveries.routing import (
    DELIVER,
    DIGEST,
    FOLLOW,
    ROUTE,
    OfDelivery,
    OfEventOfRow,
    OfHeld,
    enqueue_sources,
    route,
)
from resolvers.attention.notification_deliveries.sending import (
    PAUSES,
    Outgoing,
    attempt,
    delivery_of,
    held_for,
    note,
)
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

TIME = 60.0  # seconds
MOST = 50  # digests of one round


@ticks(FOLLOW)
async def follow_sources(tick: Tick) -> None:
    while await tick.write(enqueue_sources):
        pass


@carries(ROUTE)
async def find_channels(work: Work, data: OfEventOfRow) -> None:
    await work.write("route", lambda ctx: route(ctx, data))


@carries(DELIVER)
async def deliver(work: Work, data: OfDelivery) -> None:
    going = await work.read(lambda ctx: delivery_of(ctx, data.delivery_id))
    if going is not None and await _failed(work, going, data.delivery_id):
        work.again(work.now + PAUSES[min(going.deliveries[0].attempts, len(PAUSES) - 1)])


@carries(DIGEST)
async def deliver_held(work: Work, data: OfHeld) -> None:
    due = datetime.fromtimestamp(int(data.due) + 1, UTC)
    for number in range(MOST):
        going = await work.read(lambda ctx: held_for(ctx, data.channel_id, due))
        if going is None:
            return
        if await _failed(work, going, str(number)):
            return work.again(work.now + PAUSES[min(going.deliveries[0].attempts, len(PAUSES) - 1)])
    work.again(work.now)


async def _failed(work: Work, going: Outgoing, step: str) -> bool:
    """Makes one attempt. Returns true if it is to be tried again."""
    failed, again = await work.call(f"send {step}", lambda key: attempt(going, key), timeout=TIME)
    await work.write(f"note {step}", lambda ctx: note(ctx, going, failed, again))
    return failed is not None and again
