"""Audit rows that a workspace keeps for fewer days than the instance: those of whole seals go, and the seals stay."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

from models.retention import RetentionKind
from resolvers.kernel import AcrossWorkspaces, clock, instance, rules_done, rules_due, rules_told
from resolvers.oversight.audit.seals import REMOVE, SEGMENTS, rows_dropped

RETAIN = clock("audit.retain", every=timedelta(hours=1))
OLD = """
    SELECT number, hash, now() AS now FROM audit_seals
    WHERE workspace_id = $1 AND number > $2 AND digests IS NOT NULL AND last_at < $3 ORDER BY number LIMIT $4
"""
Write = Callable[[Callable[[AcrossWorkspaces], Awaitable[Any]]], Awaitable[Any]]


async def retain(write: Write) -> None:
    """One tick: once a day for each workspace."""
    for rule in await rules_due(write, RetentionKind.audit):
        workspace_id, removed, last = rule["workspace_id"], 0, 0
        while last is not None:
            rows, last = await write(partial(_portion, rule, last))
            removed += rows
        await rules_done(write, RetentionKind.audit, rule["cut"], [workspace_id])
        rules_told("audit_logs", [workspace_id], removed)


async def _portion(rule: Any, last: int, rows: AcrossWorkspaces) -> tuple[int, int | None]:
    """How many rows went, and behind which seal to go on."""
    seals = await rows.fetch(OLD, rule["workspace_id"], last, rule["cut"], SEGMENTS)
    removed = 0
    for seal in seals:
        signature = instance.vault.sign(rows_dropped(seal["hash"], seal["now"], None, None))
        removed += await rows.fetchval(REMOVE, rule["workspace_id"], seal["number"], signature)
    return removed, seals[-1]["number"] if len(seals) == SEGMENTS else None
