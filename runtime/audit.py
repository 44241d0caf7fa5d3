"""The audit log is sealed, and what has expired of it removed."""

from resolvers.audit.seals import SEAL, seal
from runtime.clocks import Tick, ticks


@ticks(SEAL)
async def seal_what_is_committed(tick: Tick) -> None:
    await seal(tick.write)
