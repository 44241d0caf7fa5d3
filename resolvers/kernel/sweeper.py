"""What expires is removed: idempotency keys, events, sessions. One process does it at a time."""

import asyncio

from resolvers.kernel.database import database
from resolvers.kernel.idempotency import HOURS
from resolvers.kernel.telemetry import log

EVERY = 300.0  # seconds
LEADER = 7_381_902_455  # the advisory lock whoever sweeps holds
EVENT_DAYS = 7
RULES = (
    f"DELETE FROM idempotency_keys WHERE created_at < now() - interval '{HOURS} hours'",
    f"DELETE FROM events WHERE created_at < now() - interval '{EVENT_DAYS} days'",
    "DELETE FROM sessions WHERE expires_at < now() - interval '1 day'",
)


async def sweep() -> bool:
    """One round; False when another process is at it."""
    async with database.lease() as conn:
        if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LEADER):
            return False
        try:
            for rule in RULES:
                await conn.execute(rule)
        finally:
            await conn.execute("SELECT pg_advisory_unlock($1)", LEADER)
    return True


async def run() -> None:
    """Until cancelled."""
    while True:
        try:
            await sweep()
        except Exception as error:
            log.warning("sweep failed", error=type(error).__name__)
        await asyncio.sleep(EVERY)
