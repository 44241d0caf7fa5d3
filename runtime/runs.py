"""The body of the job behind runs that have ended with the right to them."""

from resolvers.runs.ending import SETTLE, settle
from resolvers.runs.passing_on import OfRun
from runtime.background import Work, carries


@carries(SETTLE)
async def settled(work: Work, data: OfRun) -> None:
    await work.write("settle", lambda ctx: settle(ctx, data.run_id))
