"""Entries of the journal for operations of memories, by the journal's own list and its rights."""

from typing import Any, Final

import orjson

from resolvers.kernel import Caller
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.oversight.journal.listing import list_journal

NAMES: Final = ("id", "ts", "entry_type", "severity", "priority", "agent_id", "crew_id", "summary", "payload")
SHAPE: Final = intern(Shape(tuple(Column(name, name) for name in NAMES), "list"))
EMBEDDED: Final = (
    "peer.escalation", "summary.generated", "memory.consolidated", "approval.denied", "eval.regression_detected",
    "keeper.decision", "mission.status_change",
)  # fmt: skip
"""The types of entries that are recalled; the last two only as warnings and errors (contract: memory.behaviour)."""
ONLY_SEVERE: Final = frozenset(EMBEDDED[-2:])
SEVERE: Final = ("warn", "error")
PAGE: Final = 500


async def entries(caller: Caller, workspace_id: str | None, **asked: Any) -> list[dict[str, Any]]:
    """One page of the journal, newest first: at most PAGE entries."""
    raw = {name: value for name, value in asked.items() if value is not None}
    answer = await list_journal(caller, raw, SHAPE, place=workspace_id)
    found: list[dict[str, Any]] = orjson.loads(answer.body or b"[]")
    return found


def is_recalled(entry: dict[str, Any]) -> bool:
    return entry["entry_type"] not in ONLY_SEVERE or entry["severity"] in SEVERE
