"""The bodies of the jobs of chats."""

from resolvers.chats.group import take_next_turn
from resolvers.runs.passing_on import PASS_ON, OfRun
from runtime.background import Work, carries


@carries(PASS_ON)
async def go_on(work: Work, data: OfRun) -> None:
    await work.write("next turn", lambda ctx: take_next_turn(ctx, data.run_id))
