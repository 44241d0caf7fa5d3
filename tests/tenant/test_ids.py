"""Every id that an operation accepts, replaced by another tenant's: answered like an unknown id, and nothing
changes.
"""

import re
from typing import Any
from zlib import crc32

import orjson
import pytest

from models.base import TenantRow
from models.people.auth import CliToken, Session
from models.people.passkeys import Passkey
from resolvers.kernel.declarations.operation import Auth, Operation
from tests.every import each_of
from tests.generation.domains import MODELS
from tests.generation.estate import Estate
from tests.generation.inputs import fields_of, is_reference, references, row_id, unknown_id, valid, with_ids
from tests.generation.registry import operations, surfaces_of
from tests.generation.surfaces import Outcome
from tests.tenant.door import LOCKS

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

WITHOUT_WHAT_IT_NEEDS = {
    "credentials.reveal": "FORBIDDEN",  # a token reveals nothing
    "admin.gdpr_download": "GONE",  # a file
    "admin.legacy_detect": "UNAVAILABLE",  # an engine
    "admin.memory_version_content": "GONE",
    "memory.version_content": "GONE",
    "agents.files_download": "NOT_FOUND",
    "backups.metrics": "FORBIDDEN",  # nobody is the owner
    "cache.images.list": "UNAVAILABLE",
    "crews.files.download": "NOT_FOUND",
    "crews.image_status": "UNAVAILABLE",
    "users.avatar": "NOT_FOUND",  # a file
    "issues.attachments_get": "NOT_FOUND",
    **dict.fromkeys(("notification_channels.test", "notification_channels.test_draft"), "BAD_GATEWAY"),  # who answers
}
"""Reads that are refused here for every caller."""
PERSONAL = (Session, CliToken, Passkey)  # of no workspace, and of one person all the same


def kept_apart(key: str) -> bool:
    return key in MODELS and issubclass(MODELS[key], (TenantRow, *PERSONAL))


CASES = [
    pytest.param(op, name, id=f"{op.name}-{name}")
    for op in operations()
    if op.auth is Auth.USER and surfaces_of(op)
    for name in fields_of(op)
    if is_reference(op, name)
]


def surface_of(op: Operation[Any], *case: str) -> str:
    """One surface: which, differs from case to case. No surface reaches a row but by its operation, and tests/parity
    swaps every id on both.
    """
    surfaces = surfaces_of(op)
    return surfaces[crc32(" ".join((op.name, *case)).encode()) % len(surfaces)]


def under(op: Operation[Any], lock: str, *case: str) -> str:
    """Selects one of the two surfaces for each lock."""
    surfaces, first = surfaces_of(op), surface_of(op, *case)
    return first if lock == LOCKS[0] or len(surfaces) == 1 else next(other for other in surfaces if other != first)


@each_of(("op", "field"), CASES)
async def test_a_foreign_id_is_an_unknown_id(op: Operation[Any], field: str, estate: Estate, lock: str) -> None:
    surface = under(op, lock, field)
    key = references(op)[field]
    if not kept_apart(key):
        return
    raw = valid(op, estate, None, field)
    foreign_id = row_id(estate.away, key)
    unknown = unknown_id(foreign_id)
    foreign, never = [
        await estate.call(surface, op, with_ids(op, raw, field, id), estate.caller(op), depth=1)
        for id in (foreign_id, unknown)
    ]
    assert (foreign.code, foreign.status) == (never.code, never.status), f"{foreign}\n{never}"
    assert told(foreign, foreign_id) == told(never, unknown)
    if op.kind == "command":
        assert foreign.code is not None or not touches(foreign, estate, foreign_id), str(foreign)
    if foreign.code is not None:
        assert foreign.changes == [], str(foreign)
    else:
        assert not mentioned(foreign.body, away_ids(estate)), str(foreign)


CHANGED_AT = re.compile(rb'"(updated_at|updatedAt)":"[^"]*"')


def told(outcome: Outcome, id: str) -> Any:
    """The answer without the id that was asked for, and without the time of the call itself."""
    if isinstance(outcome.body, bytes):
        return outcome.body
    return orjson.loads(CHANGED_AT.sub(rb'"\1":"<now>"', orjson.dumps(outcome.body).replace(id.encode(), b"<id>")))


def touches(outcome: Outcome, estate: Estate, id: str) -> bool:
    """True if a row of the other tenant changed, or any row now names it."""
    return any(
        (row or {}).get("workspace_id") == estate.away.workspace.id or id.encode() in orjson.dumps(change.new or {})
        for change in outcome.changes
        for row in (change.old, change.new)
    )


def away_ids(estate: Estate) -> set[str]:
    return {
        str(row.id)
        for key, row in estate.away.rows.items()
        if hasattr(row, "id") and (key == "workspace" or kept_apart(key))
    }


def mentioned(body: Any, ids: set[str]) -> list[str]:
    text = body if isinstance(body, bytes) else orjson.dumps(body)
    return [id for id in ids if id.encode() in text]


@each_of("op", [op for op in operations() if op.kind != "command" and op.auth is Auth.USER and surfaces_of(op)])
async def test_a_read_shows_no_row_of_another_tenant(op: Operation[Any], estate: Estate, lock: str) -> None:
    surface = under(op, lock)
    outcome = await estate.call(surface, op, valid(op, estate), estate.caller(op))
    assert outcome.code == WITHOUT_WHAT_IT_NEEDS.get(op.name), str(outcome)
    assert not mentioned(outcome.body, away_ids(estate)), str(outcome)
