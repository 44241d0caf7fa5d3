"""The outbox is followed for subscribed browsers, and each receives what is new for its owner."""

from datetime import timedelta

from models.attention.push import PushNotice, PushState
from resolvers.attention.push.sending import (
    DELIVER,
    ENDED,
    FOLLOW,
    TIMEOUT,
    Device,
    OfSubscription,
    close,
    device_of,
    distribute,
    forget,
    look,
    message_of,
    next_notice,
    note_news,
    note_outcome,
    send,
)
from resolvers.errors import Refusal
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

MOST = 50  # notices, or pages of changes, of one round
MOMENT = timedelta(seconds=1)  # not worth another round


@ticks(FOLLOW)
async def follow_attention(tick: Tick) -> None:
    while await tick.write(distribute):
        pass


@carries(DELIVER)
async def deliver(work: Work, data: OfSubscription) -> None:
    """Notes what is new for the owner, then sends one notice after the other."""
    for _ in range(MOST):
        device = await work.read(lambda ctx: device_of(ctx, data))
        if device is None:
            return
        found, one = await look(device), device.subscription
        if found is None:
            return await _end(work, device)
        if found.position != one.position:
            await work.write(f"note {found.position}", lambda ctx: note_news(ctx, one, found))  # noqa: B023
        if not found.more:
            break
    for _ in range(MOST):
        device = await work.read(lambda ctx: device_of(ctx, data))
        if device is None:
            return
        one = device.subscription
        notice = await work.read(lambda ctx: next_notice(ctx, one))  # noqa: B023
        if notice is None:
            return
        due = one.next_attempt_at
        if due is not None and due - work.now > MOMENT:
            return work.again(due)
        await work.sleep(0 if due is None else max((due - work.now).total_seconds(), 0))
        if not await _sent(work, device, notice):
            return
    work.again(work.now)


async def _sent(work: Work, device: Device, notice: PushNotice) -> bool:
    """Sends one notice, if its owner still sees the entry. Returns whether others may follow."""
    now = work.now
    try:
        message = await message_of(device, notice, now)
    except Refusal as refusal:
        if refusal.code not in ENDED:
            raise
        await _end(work, device)
        return False
    if message is None:
        await work.write(f"drop {notice.id}", lambda ctx: close(ctx, notice, PushState.dropped))
        return True
    this = f"{notice.id} {notice.attempts}"
    outcome = await work.call(f"send {this}", lambda _: send(device, message, now), timeout=2 * TIMEOUT)
    await work.write(f"sent {this}", lambda ctx: note_outcome(ctx, device, notice, outcome, now))
    return True


async def _end(work: Work, device: Device) -> None:
    """The owner's access has ended, and the subscription with it."""
    await work.write("end", lambda ctx: forget(ctx, device.subscription))
