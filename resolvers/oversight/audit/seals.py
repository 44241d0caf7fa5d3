"""Sealing of the audit log: a clock adds committed rows to a chain of hashes per workspace.

Writers do not wait: a row gets a number when it is written, and the clock seals it when no transaction can commit a
lower number. A seal covers a range of numbers, from the end of the previous seal to its own last one. It holds a digest
of each row, and a hash of the previous seal, of itself and of these; it is signed with a key that the database does not
have. See ADR 57.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from models.oversight.audit import DIGEST
from resolvers.kernel import AcrossWorkspaces, clock, instance
from resolvers.kernel.writing.persons import PERSONAL_DIGEST

PORTION = 2_000  # rows that one transaction seals
PORTIONS = 1_000  # in one tick
SEGMENTS = 20  # seals whose rows one transaction removes
LET_GO_AT_ONCE = 500  # seals that say in one transaction that their rows go
LOOKS, PAUSE = 20, 0.1  # how often, and after how many seconds, it is asked whether older transactions have ended
SEALED = "audit_sealed"
"""The fact that holds the number up to which all rows are sealed."""
EMPTY = bytes(32)
"""The hash before the first seal."""

# Of a row: everything but its place, so that a row that was moved is known again.
DIGESTED = f"""
    substr(sha256(convert_to(jsonb_build_array(
        id, workspace_id, actor_type, action, entity_type, entity_id,
        to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')
    )::text, 'UTF8') || coalesce(erased, {PERSONAL_DIGEST})), 1, {DIGEST})
"""
HIGHEST = "SELECT coalesce((SELECT max(seq) FROM audit_logs), 0)"
# The end of a snapshot would not do: transactions behind the last one that has ended may have begun before it.
FOLLOWING = "SELECT pg_current_xact_id()::text"
PASSED = "SELECT events_horizon() >= $1::text::xid8"
PLACE = f"SELECT coalesce((SELECT value::bigint FROM instance_facts WHERE name = '{SEALED}'), 0)"
SEAL = clock("audit.seal", every=timedelta(seconds=15), when=f"EXISTS (SELECT FROM audit_logs WHERE seq > ({PLACE}))")
ROWS = f"""
    WITH portion AS MATERIALIZED (SELECT * FROM audit_logs WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3)
    SELECT workspace_id, EXISTS (SELECT FROM workspaces WHERE id = workspace_id) AS there,
        count(*)::int AS rows, min(seq) AS first_seq, max(seq) AS last_seq,
        min(created_at) AS first_at, max(created_at) AS last_at,
        string_agg({DIGESTED}, ''::bytea ORDER BY seq) AS digests
    FROM portion GROUP BY workspace_id
"""
LAST = """
    SELECT own.id AS workspace_id, last.number, last.hash FROM unnest($1::text[]) AS own (id)
    CROSS JOIN LATERAL (
        SELECT number, hash FROM audit_seals WHERE workspace_id = own.id ORDER BY number DESC LIMIT 1
    ) AS last
"""
ADD = """
    INSERT INTO audit_seals
        (workspace_id, number, first_seq, last_seq, rows, first_at, last_at, digests, hash, signature)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING 1
"""
NOTE = f"""
    INSERT INTO instance_facts (name, value, created_at) VALUES ('{SEALED}', $1::text, now())
    ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now() RETURNING 1
"""
# A month goes when all of it has expired, and every row of it is sealed.
EXPIRED = f"""
    SELECT until FROM partitions_of('audit_logs') WHERE until <= now() - make_interval(days => $1)
        AND NOT EXISTS (SELECT FROM audit_logs WHERE created_at < until AND seq > ({PLACE}))
    ORDER BY until DESC LIMIT 1
"""
KEPT = """
    SELECT *, now() AS now FROM audit_seals
    WHERE digests IS NOT NULL AND first_at < $1 AND (dropped_until IS NULL OR dropped_until < $1)
    ORDER BY first_at LIMIT $2
"""
GOING = f"""
    SELECT {DIGESTED} AS digest FROM audit_logs
    WHERE workspace_id = $1 AND seq BETWEEN $2 AND $3 AND created_at < $4
"""
# Functions of the owner: the service itself cannot remove a row of the audit log, nor change a seal. They let go what
# has expired, and no more.
LET_GO = """
    WITH kept AS MATERIALIZED (SELECT * FROM audit_let_go($1, $2::text[], $3::bigint[], $4::bytea[], $5::bytea[])),
    forgotten AS (
        DELETE FROM journal USING kept
        WHERE journal.place = kept.place AND journal.at BETWEEN kept.first_at AND kept.last_at
            AND journal.at < $1 AND journal.kind = 'ad' RETURNING 1
    )
    SELECT (SELECT count(*) FROM kept) + 0 * (SELECT count(*) FROM forgotten)
"""
REMOVE = "SELECT audit_remove($1, $2, $3)"
"""The rows of one seal, where a workspace keeps them for fewer days than the instance."""
DROP = "SELECT drop_partitions('audit_logs', $1)"
Write = Callable[[Callable[[AcrossWorkspaces], Awaitable[Any]]], Awaitable[Any]]


def chained(before: bytes, seal: Any) -> bytes:
    """The hash of a seal: of the previous seal, of its range, and of its rows."""
    rows = hashlib.sha256(seal["digests"]).digest()
    said = [seal["workspace_id"], *(str(seal[name]) for name in ("number", "first_seq", "last_seq", "rows"))]
    said += [_text(seal[name]) for name in ("first_at", "last_at")]
    return hashlib.sha256(before + rows + "\0".join(said).encode()).digest()


def rows_dropped(seal_hash: bytes, at: datetime, until: datetime | None, digests: bytes | None) -> bytes:
    """The signed content when rows of a seal have expired: those from before `until`, with the digests of the
    others.
    """
    said = b"dropped" + seal_hash + _text(at).encode()
    return said if until is None else said + _text(until).encode() + hashlib.sha256(digests or b"").digest()


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


async def seal(write: Write) -> None:
    """One tick: seals everything committed until now, in portions."""

    async def highest(rows: AcrossWorkspaces) -> int:
        return await rows.fetchval(HIGHEST)  # type: ignore[no-any-return]

    async def next_transaction(rows: AcrossWorkspaces) -> str:
        return await rows.fetchval(FOLLOWING)  # type: ignore[no-any-return]

    last = await write(highest)
    following = await write(next_transaction)  # a transaction with a lower number has a lower id, too

    async def passed(rows: AcrossWorkspaces) -> Any:
        return await rows.fetchval(PASSED, following)

    for _ in range(LOOKS):
        if await write(passed):
            break
        await asyncio.sleep(PAUSE)
    else:
        return  # a transaction is still running: the next tick asks again

    async def portion(rows: AcrossWorkspaces) -> bool:
        return await _seal_portion(rows, last)

    for _ in range(PORTIONS):
        if not await write(portion):
            break
    await _expire(write)


async def _seal_portion(rows: AcrossWorkspaces, last: int) -> bool:
    """Seals a portion and returns whether there may be more."""
    place = await rows.fetchval(PLACE)
    found = await rows.fetch(ROWS, place, last, PORTION)
    if not found:
        return False
    ends = {row["workspace_id"]: row for row in await rows.fetch(LAST, [row["workspace_id"] for row in found])}
    for row in found:
        if not row["there"]:  # a workspace that was removed while the row was written
            continue
        end = ends.get(row["workspace_id"])
        made = dict(row) | {"number": 1 if end is None else end["number"] + 1}
        hash = chained(EMPTY if end is None else end["hash"], made)
        names = ("workspace_id", "number", "first_seq", "last_seq", "rows", "first_at", "last_at", "digests")
        await rows.fetchval(ADD, *[made[name] for name in names], hash, instance.vault.sign(hash))
    await rows.fetchval(NOTE, str(max(row["last_seq"] for row in found)))
    sealed: int = sum(row["rows"] for row in found)
    return sealed == PORTION


async def _expire(write: Write) -> None:
    """Lets the rows of whole months go, first in their seals, then in the table; the seals stay."""
    days = instance.settings.audit_days
    if days == 0:
        return

    async def expired(rows: AcrossWorkspaces) -> datetime | None:
        return await rows.fetchval(EXPIRED, days)  # type: ignore[no-any-return]

    until = await write(expired)
    if until is None:
        return

    async def portion(rows: AcrossWorkspaces) -> int:
        return await _let_go(rows, until)

    for _ in range(PORTIONS):
        if await write(portion) < LET_GO_AT_ONCE:
            break
    else:
        return

    async def drop(rows: AcrossWorkspaces) -> None:
        await rows.fetchval(DROP, until)

    await write(drop)


async def _let_go(rows: AcrossWorkspaces, until: datetime) -> int:
    """Records the expiry in the seals of rows from before `until`. Returns their number."""
    seals = await rows.fetch(KEPT, until, LET_GO_AT_ONCE)
    left = [await _left(rows, seal, until) for seal in seals]
    signatures = [
        instance.vault.sign(rows_dropped(seal["hash"], seal["now"], until, digests))
        for seal, digests in zip(seals, left, strict=True)
    ]
    if not seals:
        return 0
    named = [[seal[name] for seal in seals] for name in ("workspace_id", "number")]
    return await rows.fetchval(LET_GO, until, *named, left, signatures)  # type: ignore[no-any-return]


async def _left(rows: AcrossWorkspaces, seal: Any, until: datetime) -> bytes | None:
    """The digests of a seal's remaining rows, as they were sealed, regardless of the rows' current content."""
    if seal["last_at"] < until:
        return None
    place = seal["workspace_id"], seal["first_seq"], seal["last_seq"], until
    going = {row["digest"] for row in await rows.fetch(GOING, *place)}
    digests: bytes = seal["digests"]
    parts = [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
    return b"".join([part for part in parts if part not in going]) or None


async def removed_of(rows: AcrossWorkspaces, workspace_id: str, number: int, signature: bytes) -> int:
    """The rows of one seal go, and the seal says so: how many they were."""
    removed: int = await rows.fetchval(REMOVE, workspace_id, number, signature)
    return removed
