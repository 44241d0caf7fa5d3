"""What expires is removed: idempotency keys, events, sessions. One process does it at a time."""

import asyncio

from resolvers.kernel.context import SCOPE_SQL
from resolvers.kernel.database import database
from resolvers.kernel.idempotency import HOURS
from resolvers.kernel.telemetry import log

EVERY = 300.0  # seconds
LEADER = 7_381_902_455  # the advisory lock whoever sweeps holds
EVENT_DAYS, FRAME_DAYS = 7, 30
SWEPT = "events_swept"
"""The fact that holds the transaction of the last event removed."""
RULES = (
    f"DELETE FROM idempotency_keys WHERE created_at < now() - interval '{HOURS} hours'",
    # A cursor from before the last event removed leads nowhere: the number is kept.
    f"""
    WITH gone AS (DELETE FROM events WHERE created_at < now() - interval '{EVENT_DAYS} days' RETURNING xid::text::bigint)
    INSERT INTO instance_facts (name, value, created_at) SELECT '{SWEPT}', max(xid)::text, now() FROM gone HAVING count(*) > 0
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()
    """,
    f"DELETE FROM run_frames WHERE created_at < now() - interval '{FRAME_DAYS} days'",
    "DELETE FROM sessions WHERE expires_at < now() - interval '1 day'",
    "DELETE FROM chat_presence WHERE until < now()",
)


async def sweep() -> bool:
    """One round; False when another process is at it."""
    async with database.lease() as conn:
        if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LEADER):
            return False
        try:
            await conn.fetchrow(SCOPE_SQL, "*")
            for rule in RULES:
                await conn.execute(rule)
        finally:
            await conn.fetchrow(SCOPE_SQL, "")
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
