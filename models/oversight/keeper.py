"""Requests to the keeper: by agents, and by the evaluators, with the decisions."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Index, text

from models.base import TenantTable, enum_field, stored_at, text_field, time_field
from models.bounds import DESCRIPTION, ID, LINE
from models.machines import Machine
from models.personal_data import MENTIONS, NOTHING

COMMAND: Final = 4096
"""Bytes of a command (contract: internal.keeper.execute)."""
SHOWN: Final = 2000
"""Characters of a prompt or an answer that are kept; then a mark that there was more."""
TRUNCATED: Final = "...(truncated)"
# no COALESCE: row-level security keeps conditions on it out of an index
LISTED_AT: Final = "(CASE WHEN decided_at IS NULL THEN created_at ELSE decided_at END)"
"""The time of a request in the audit log."""


class KeeperDecision(StrEnum):
    """The decision. PENDING only while the keeper decides; WARN applies only to an agent's behaviour."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    ESCALATE = "ESCALATE"
    WARN = "WARN"
    PENDING = "PENDING"


class KeeperRequestType(StrEnum):
    """The subject: access to a credential, a command that uses one, or something other than a credential."""

    access = "access"
    execute = "execute"
    skill_review = "skill_review"
    behavior = "behavior"
    memory_health = "memory_health"
    negative_learning = "negative_learning"


class KeeperRequest(TenantTable, table=True):
    """A line of the keeper's log. It outlives the rows that it names, and has no foreign keys: unused ids are empty.
    `prompt` and `answer` are the model's, truncated. It contains nothing of a credential's value.
    """

    __tablename__ = "keeper_requests"
    __table_args__ = (
        Index("keeper_requests_list_idx", "workspace_id", "created_at", "id"),
        Index("keeper_requests_audit_idx", "workspace_id", text(LISTED_AT), "id"),
        Index("keeper_requests_decision_idx", "decision"),
        Index("keeper_requests_pending_idx", "created_at", postgresql_where=text("decision = 'PENDING'")),
    )
    request_type: KeeperRequestType = enum_field(KeeperRequestType)
    agent_id: str = text_field(ID, default="", holds=NOTHING)
    crew_id: str = text_field(ID, default="", holds=NOTHING)
    credential_id: str = text_field(ID, default="", holds=NOTHING)
    task_id: str = text_field(ID, default="", holds=NOTHING)
    intent: str = text_field(DESCRIPTION, holds=MENTIONS)
    command: str | None = text_field(COMMAND, default=None, holds=MENTIONS)
    decision: KeeperDecision = enum_field(KeeperDecision.PENDING)
    reason: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    risk_score: int | None = None
    exit_code: int | None = None
    prompt: str | None = text_field(SHOWN + LINE, default=None, holds=MENTIONS)
    answer: str | None = text_field(SHOWN + LINE, default=None, holds=MENTIONS)
    created_at: datetime = stored_at("clock_timestamp()")
    decided_at: datetime | None = time_field(default=None)


_D = KeeperDecision
DECIDED: Final = frozenset(_D) - {_D.PENDING}
"""WARN is a verdict on a behavior, which is never pending."""
KEEPER_STATES = Machine(
    KeeperRequest,
    "decision",
    {_D.PENDING: DECIDED - {_D.WARN}, **{decided: frozenset() for decided in DECIDED}},
    stamps={"decided_at": DECIDED},
)


def evaluation_id(kind: str) -> str:
    """The id of an evaluation without an agent's request: `kpr_skr_` and 12 hex digits."""
    return f"kpr_{kind}_{secrets.token_hex(6)}"


def shortened(shown: str | None) -> str | None:
    """A prompt or an answer as it is stored."""
    if shown is None or len(shown) <= SHOWN:
        return shown
    return shown[:SHOWN] + TRUNCATED
