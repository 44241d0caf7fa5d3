"""Approvals that nobody has decided in time."""

from resolvers.approvals import EXPIRE, TIME_OUT, OfApproval, enqueue_overdue, time_out
from runtime.background import Work, carries
from runtime.clocks import Tick, ticks


@ticks(EXPIRE)
async def expire(tick: Tick) -> None:
    await tick.write(enqueue_overdue)


@carries(TIME_OUT)
async def expired(work: Work, data: OfApproval) -> None:
    await work.write("time out", lambda ctx: time_out(ctx, data.approval_id))
