"""The outbox is followed for webhook endpoints, and their lanes are worked through."""

from datetime import timedelta

from resolvers.attention.webhook_endpoints.sending import (
    DELIVER,
    FOLLOW,
    TIMEOUT,
    OfLane,
    distribute,
    next_of,
    note,
    send,
)
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

MOST = 100  # deliveries of one round
MOMENT = timedelta(seconds=1)  # not worth another round


@ticks(FOLLOW)
async def follow_outbox(tick: Tick) -> None:
    while await tick.write(distribute):
        pass


@carries(DELIVER)
async def deliver(work: Work, data: OfLane) -> None:
    """Delivers in order: a delivery that fails delays those behind it in its lane."""
    for _ in range(MOST):
        found = await work.read(lambda ctx: next_of(ctx, data))
        if found is None:
            return
        endpoint, delivery = found
        wait = timedelta() if delivery.next_attempt_at is None else delivery.next_attempt_at - work.now
        if wait > MOMENT:
            return work.again(work.now + wait)
        await work.sleep(max(wait.total_seconds(), 0))
        this = f"{delivery.id} {delivery.attempts}"
        outcome = await work.call(f"send {this}", lambda _: send(endpoint, delivery, work.now), timeout=2 * TIMEOUT)  # noqa: B023
        await work.write(f"note {this}", lambda ctx: note(ctx, delivery, outcome, work.now))  # noqa: B023
    work.again(work.now)
