"""What the instance does for itself, from time to time."""

from resolvers.kernel.sweeper import SWEEP, sweep
from runtime.clocks import Tick, ticks


@ticks(SWEEP)
async def remove(tick: Tick) -> None:
    await sweep(tick.write)
