"""Audit rows of workspaces that keep them for fewer days than the instance: rows of whole seals are deleted, and the
seals remain.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import func
from sqlmodel import col

from models.oversight.audit import AuditSeal
from models.retention import RetentionKind
from resolvers.kernel import AcrossWorkspaces, clock, instance
from resolvers.kernel.background.retention import done as rules_done
from resolvers.kernel.background.retention import due as rules_due
from resolvers.kernel.background.retention import told as rules_told
from resolvers.oversight.audit.seals import SEGMENTS, removed_of, rows_dropped

RETAIN = clock("audit.retain", every=timedelta(hours=1))
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
    """Returns the number of deleted rows, and the seal to continue after."""
    seals = await rows.within(rule["workspace_id"]).select(
        AuditSeal,
        col(AuditSeal.number) > last,
        col(AuditSeal.digests).is_not(None),
        col(AuditSeal.last_at) < rule["cut"],
        columns=("number", "hash", func.now().label("now")),
        order_by=col(AuditSeal.number),
        limit=SEGMENTS,
    )
    removed = 0
    for seal in seals:
        signature = instance.vault.sign(rows_dropped(seal["hash"], seal["now"], None, None))
        removed += await removed_of(rows, rule["workspace_id"], seal["number"], signature)
    return removed, seals[-1]["number"] if len(seals) == SEGMENTS else None
