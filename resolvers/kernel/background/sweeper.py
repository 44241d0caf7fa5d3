"""What expires is removed: idempotency keys, events, frames, steps of runs, sessions, browsers that signed in, sign-ins
under way, pairings, resets of passwords, challenges, presence, workers.

In portions, each a transaction of its own: a transaction holds the outbox's readers up for as long as it runs, and one
that takes too long would never succeed. Audit rows, messages and runs are kept for good.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlmodel import SQLModel

from models.base import PARTITION, table_of
from models.kernel import AuditLog, OutboxEvent
from models.retention import RetentionKind
from models.staff.runs import RunFrame
from resolvers.identity.cookies import ATTEMPT_LIFETIME, DEVICE_LIFETIME
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import AcrossWorkspaces, clock
from resolvers.kernel.background.steps import Gone
from resolvers.kernel.ground.removed import DROPPED, REMOVED, SWEPT_EVENTS
from resolvers.kernel.writing.idempotency import HOURS

SWEEP = clock("system.sweep", every=timedelta(minutes=5))
PORTION = 5_000  # rows that one transaction removes
PORTIONS = 2_000  # of a rule in one tick: what is left waits for the next


@dataclass(frozen=True)
class Rule:
    """`sql` removes one portion ($1: its size) and returns how many rows that were; of a table whose rows expire."""

    name: str
    sql: str


AHEAD = 3  # partitions of a time that has not begun: what is stored when none was made waits for its own
EXPIRED = "SELECT max(until) FROM partitions_of($1) WHERE until <= now() - make_interval(days => $2)"


@dataclass(frozen=True)
class Partitions:
    """Of a table that is `partitioned`: those of the time to come are made, and those are dropped whose rows are all
    older than the setting `days` says; none, where that is somebody else's. `note`: what is kept of these ($1: where
    the last of them ends).
    """

    model: type[SQLModel]
    days: str | None = None
    note: str | None = None

    @property
    def name(self) -> str:
        return table_of(self.model).name

    async def remove(self, rows: AcrossWorkspaces) -> None:
        span = table_of(self.model).info[PARTITION]
        await rows.fetchval("SELECT keep_partitions($1, $2, $3)", self.name, span, AHEAD)
        if self.days is None:
            return
        before = await rows.fetchval(EXPIRED, self.name, getattr(instance.settings, self.days))
        if before is not None:
            if self.note is not None:
                await rows.fetchval(self.note, before)
            dropped = await rows.fetchval("SELECT drop_partitions($1, $2)", self.name, before)
            DROPPED.labels(self.name).inc(dropped)
            log.info("partitions that had expired were dropped", table=self.name, partitions=dropped)


PARTITIONED = (
    Partitions(OutboxEvent, "event_days", SWEPT_EVENTS),
    Partitions(RunFrame, "frame_days"),
    Partitions(AuditLog),  # dropped with their seals
)


def _where(table: str, condition: str) -> Rule:
    """The rows of `condition`, found by an index."""
    found = f"SELECT ctid FROM {table} WHERE {condition} LIMIT $1"
    return Rule(
        table,
        f"WITH gone AS (DELETE FROM {table} WHERE ctid = ANY (ARRAY({found})) RETURNING 1) SELECT count(*) FROM gone",
    )


RULES = (
    # Those of workspaces that keep them longer are read each time: it is a week of them at most.
    Rule(
        "idempotency_keys",
        f"""
        WITH gone AS (DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
            SELECT k.ctid FROM idempotency_keys k LEFT JOIN retention_rules r
                ON r.workspace_id = k.workspace_id AND r.kind = '{RetentionKind.idempotency_keys}'
            WHERE k.created_at < now() - interval '{HOURS} hours'
                AND k.created_at < now() - make_interval(days => coalesce(r.days, 1)) LIMIT $1
        )) RETURNING 1)
        SELECT count(*) FROM gone
        """,
    ),
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
    _where("password_resets", "created_at < now() - interval '1 day'"),
    _where("decision_links", "expires_at < now() - interval '30 days'"),  # till then it says that it has expired
    _where("security_logs", "created_at < now() - interval '400 days'"),
    _where("email_changes", "expires_at < now() - interval '1 day'"),
    _where("pairings", "expires_at < now() - interval '1 day'"),
    _where("oauth_states", "created_at < now() - interval '15 minutes'"),
    _where("sign_in_attempts", f"created_at < now() - interval '{int(ATTEMPT_LIFETIME.total_seconds())} seconds'"),
    _where("passkey_challenges", "expires_at < now()"),
    _where("chat_presence", "until < now()"),
    _where("webhook_deliveries", "created_at < now() - interval '30 days'"),
    _where("webhook_receipts", "created_at < now() - interval '30 days'"),
    _where("workers", "seen_at < now() - interval '1 day'"),
)


Write = Callable[[Callable[[AcrossWorkspaces], Awaitable[Any]]], Awaitable[Any]]
"""Makes one transaction of what it is given."""


async def sweep(write: Write) -> None:
    """One tick. What keeps one rule from its rows is no matter to the next."""
    failures = []
    for rule in (*PARTITIONED, *RULES):
        try:
            if isinstance(rule, Partitions):
                await write(rule.remove)
            else:
                await _carry_out(write, rule)
        except Gone:
            raise
        except Exception as error:
            error.add_note(f"rows: {rule.name}")
            failures.append(error)
    if failures:
        raise ExceptionGroup("not all that has expired was removed", failures)


async def _carry_out(write: Write, rule: Rule) -> None:
    """Portions until nothing is left."""

    async def portion(rows: AcrossWorkspaces) -> Any:
        return await rows.fetchval(rule.sql, PORTION)

    removed = 0
    for _ in range(PORTIONS):
        if not (rows := await write(portion)):
            break
        removed += rows
    if removed:
        REMOVED.labels(rule.name, "instance").inc(removed)
        log.info("rows that had expired were removed", table=rule.name, rows=removed)
