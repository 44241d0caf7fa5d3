"""What expires is removed: idempotency keys, events, frames, steps of runs, sessions, browsers that
signed in, presence. One process does it at a time.

In portions, each a transaction of its own: a transaction holds the outbox's readers up for as long as it runs, and one
that takes too long would never succeed. Audit rows, messages and runs are kept for good.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

from resolvers.kernel.context import SCOPE_SQL
from resolvers.kernel.cookies import DEVICE_LIFETIME
from resolvers.kernel.database import database
from resolvers.kernel.idempotency import HOURS
from resolvers.kernel.telemetry import log

EVERY = 300.0  # seconds
PORTION = 5_000  # rows that one transaction removes
PORTIONS = 2_000  # of a rule in one round: what is left waits for the next
LEADER = 7_381_902_455  # the advisory lock whoever sweeps holds
EVENT_DAYS, FRAME_DAYS = 7, 30
SWEPT = "events_swept"
"""The fact that holds the transaction of the last event removed."""


@dataclass(frozen=True)
class Rule:
    """`sql` removes one portion ($1: its size) and returns how many rows that were; of a table whose rows expire."""

    name: str
    sql: str


def _where(table: str, condition: str) -> Rule:
    """The rows of `condition`, found by an index."""
    found = f"SELECT ctid FROM {table} WHERE {condition} LIMIT $1"
    return Rule(
        table,
        f"WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY({found})) RETURNING 1) SELECT count(*) FROM gone",
    )


RULES = (
    _where("idempotency_keys", f"created_at < now() - interval '{HOURS} hours'"),
    # The oldest stand first in the order of delivery. A cursor from before the last event removed leads nowhere: its
    # number is kept.
    Rule(
        "events",
        f"""
        WITH oldest AS MATERIALIZED (SELECT xid, seq, created_at FROM events ORDER BY xid, seq LIMIT $1),
        gone AS (
            DELETE FROM events USING oldest WHERE events.xid = oldest.xid AND events.seq = oldest.seq
            AND oldest.created_at < now() - interval '{EVENT_DAYS} days' RETURNING events.xid::text::bigint
        ),
        noted AS (
            INSERT INTO instance_facts (name, value, created_at) SELECT '{SWEPT}', max(xid)::text, now()
                FROM gone HAVING count(*) > 0
            ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()
        )
        SELECT count(*) FROM gone
        """,
    ),
    _where("run_frames", f"created_at < now() - interval '{FRAME_DAYS} days'"),
    # Steps are for whoever takes a run over; a run that ended is taken over by nobody.
    Rule(
        "run_steps",
        """
        WITH ended AS MATERIALIZED (
            SELECT s.run_id, s.name FROM run_steps s JOIN runs r ON r.id = s.run_id
            WHERE r.status <> 'RUNNING' AND r.finished_at < now() - interval '1 day' LIMIT $1
        ),
        gone AS (DELETE FROM run_steps s USING ended WHERE s.run_id = ended.run_id AND s.name = ended.name RETURNING 1)
        SELECT count(*) FROM gone
        """,
    ),
    _where("sessions", "expires_at < now() - interval '1 day'"),
    _where("sign_in_devices", f"used_at < now() - interval '{DEVICE_LIFETIME.days} days'"),
    _where("chat_presence", "until < now()"),
)


async def sweep() -> bool:
    """One round; False when another process is at it."""
    async with database.lease() as conn:
        if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", LEADER):
            return False
        try:
            await conn.fetchrow(SCOPE_SQL, "*")
            for rule in RULES:
                await _carry_out(conn, rule)
        finally:
            await conn.fetchrow(SCOPE_SQL, "")
            await conn.execute("SELECT pg_advisory_unlock($1)", LEADER)
    return True


async def _carry_out(conn: Any, rule: Rule) -> None:
    """Portions until nothing is left. What keeps one rule from its rows is no matter to the next."""
    try:
        for _ in range(PORTIONS):
            if not await conn.fetchval(rule.sql, PORTION):
                return
    except Exception as error:
        if conn.is_closed():
            raise
        log.warning("sweep failed", rows=rule.name, error=type(error).__name__)


async def run() -> None:
    """Until cancelled."""
    while True:
        try:
            await sweep()
        except Exception as error:
            log.warning("sweep failed", error=type(error).__name__)
        await asyncio.sleep(EVERY)
