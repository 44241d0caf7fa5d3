"""The clock of agents that are hired for a while, and the job that ends one."""

from resolvers.staff.hiring.expiring import END, EXPIRE, OfExpired, enqueue_expired, expire
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@ticks(EXPIRE)
async def look_for_expired(tick: Tick) -> None:
    await tick.write(enqueue_expired)


@carries(END)
async def end(work: Work, data: OfExpired) -> None:
    await work.write("expire", lambda ctx: expire(ctx, data.agent_id))
