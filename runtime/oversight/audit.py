"""Seals the audit log, and removes its expired rows."""

from resolvers.oversight.audit.retention import RETAIN, retain
from resolvers.oversight.audit.seals import SEAL, seal
from runtime.engine.clocks import Tick, ticks


@ticks(SEAL)
async def seal_what_is_committed(tick: Tick) -> None:
    await seal(tick.write)


@ticks(RETAIN)
async def remove_what_workspaces_do_not_keep(tick: Tick) -> None:
    await retain(tick.write)
