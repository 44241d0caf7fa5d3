"""Recurring work of the instance for itself."""

from resolvers.kernel.background.analysis import ANALYZE, analyze
from resolvers.kernel.background.retention import RETAIN, retain
from resolvers.kernel.background.sweeper import SWEEP, sweep
from runtime.engine.clocks import Tick, ticks


@ticks(SWEEP)
async def remove(tick: Tick) -> None:
    await sweep(tick.write)


@ticks(RETAIN)
async def remove_what_workspaces_do_not_keep(tick: Tick) -> None:
    await retain(tick.write)


@ticks(ANALYZE)
async def analyze_what_changed(tick: Tick) -> None:
    await analyze()
