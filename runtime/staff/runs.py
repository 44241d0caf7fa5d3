"""Bodies of the jobs of runs: behind those that have ended with the right to them, and of schedules."""

from resolvers.staff.runs.ending import SETTLE, settle
from resolvers.staff.runs.passing_on import RunToPassOn
from resolvers.staff.runs.schedules import LOOK, START, OfScheduledAgent, look, start_scheduled
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks


@carries(SETTLE)
async def settled(work: Work, data: RunToPassOn) -> None:
    await work.write("settle", lambda ctx: settle(ctx, data.run_id))


@ticks(LOOK)
async def look_for_due(tick: Tick) -> None:
    await look(tick.write, tick.now)


@carries(START)
async def scheduled(work: Work, data: OfScheduledAgent) -> None:
    await work.write("start", lambda ctx: start_scheduled(ctx, data.agent_id, work.now))
