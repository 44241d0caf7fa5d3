"""The clock of escalations that are not answered in time, and the job that ends one."""

from resolvers.staff.escalations.deciding import END, EXPIRE, OfEscalation, end, enqueue_overdue
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@ticks(EXPIRE)
async def look_for_overdue(tick: Tick) -> None:
    await tick.write(enqueue_overdue)


@carries(END)
async def expire(work: Work, data: OfEscalation) -> None:
    await work.write("expire", lambda ctx: end(ctx, data.escalation_id))
