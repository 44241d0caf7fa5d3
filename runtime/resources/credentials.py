"""Credentials whose previous values have expired."""

from resolvers.resources.credentials.rotation import EXPIRE, PORTION, end_overdue
from runtime.engine.clocks import Tick, ticks


@ticks(EXPIRE)
async def expire(tick: Tick) -> None:
    while await tick.write(end_overdue) == PORTION:
        pass
