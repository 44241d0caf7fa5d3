"""The outbox is followed for webhook endpoints, and their lanes are worked through."""

from datetime import timedelta

from models.attention.webhook_endpoints import WebhookDelivery
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
from resolvers.instance.running import instance
from resolvers.staff.runs.work import traceparent
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
        traced = await _traceparent(delivery)
        outcome = await work.call(
            f"send {this}",
            lambda _: send(endpoint, delivery, work.now, traced),  # noqa: B023
            timeout=2 * TIMEOUT,
        )
        await work.write(f"note {this}", lambda ctx: note(ctx, delivery, outcome, work.now))  # noqa: B023
    work.again(work.now)


async def _traceparent(delivery: WebhookDelivery) -> str | None:
    run_id = delivery.payload.get("run_id") if instance.settings.otel_traces else None
    return await traceparent(delivery.workspace_id, run_id) if isinstance(run_id, str) else None
