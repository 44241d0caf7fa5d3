"""Approvals that expire without a decision, or whose run has ended."""

from resolvers.attention.approvals.asking import CALL_OFF, ApprovalsOfRun, call_off_of
from resolvers.attention.approvals.deciding import EXPIRE, TIME_OUT, OfApproval, enqueue_overdue, time_out
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@ticks(EXPIRE)
async def expire(tick: Tick) -> None:
    await tick.write(enqueue_overdue)


@carries(TIME_OUT)
async def expired(work: Work, data: OfApproval) -> None:
    await work.write("time out", lambda ctx: time_out(ctx, data.approval_id))


@carries(CALL_OFF)
async def called_off(work: Work, data: ApprovalsOfRun) -> None:
    await work.write("call off", lambda ctx: call_off_of(ctx, data.run_id))
