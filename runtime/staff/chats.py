"""The bodies of the jobs of chats."""

from resolvers.staff.chats.group import take_next_turn
from resolvers.staff.runs.passing_on import PASS_ON, RunToPassOn
from runtime.engine.background import Work, carries


@carries(PASS_ON)
async def go_on(work: Work, data: RunToPassOn) -> None:
    await work.write("next turn", lambda ctx: take_next_turn(ctx, data.run_id))
