"""What the instance does for itself, from time to time."""

from resolvers.kernel.analysis import ANALYZE, analyze
from resolvers.kernel.retention import RETAIN, retain
from resolvers.kernel.sweeper import SWEEP, sweep
from runtime.clocks import Tick, ticks


@ticks(SWEEP)
async def remove(tick: Tick) -> None:
    await sweep(tick.write)


@ticks(RETAIN)
async def remove_what_workspaces_do_not_keep(tick: Tick) -> None:
    await retain(tick.write)


@ticks(ANALYZE)
async def analyze_what_changed(tick: Tick) -> None:
    await analyze()
