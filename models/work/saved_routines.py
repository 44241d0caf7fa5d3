"""Saved routines: definitions in versions, and what people set beside them."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    json_field,
    new_id,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import DESCRIPTION, ID, LABEL, LINE, NAME, NOTES, PROMPT
from models.machines import Machine
from models.personal_data import BY, CONFIGURATION, DERIVED, MENTIONS, NOTHING, WORDS

LONGEST_SLUG: Final = 64
"""A slug is a name of the language (models/work/routines/parts.py)."""
LONGEST_SOURCE: Final = 1 << 20
"""Characters of a definition; reading refuses more bytes than this (models/work/routines/source.py)."""
LARGEST_DEFINITION: Final = 16 << 20
"""Bytes of a definition as values: aliases of YAML can repeat a text."""
HASH: Final = 64
LONGEST_KEY: Final = 128
"""Bytes of a key of the state (contract: routine_state.set)."""
LONGEST_TAG: Final = 128
MOST_TAGS: Final = 20
"""contract: routines.tags_add"""
LONGEST_SUMMARY: Final = 500
"""contract: routines.save, change_summary"""


class RoutineStatus(StrEnum):
    """The status of a routine. Only an active one runs; a proposed one waits for a review."""

    active = "active"
    proposed = "proposed"
    disabled = "disabled"


class RoutineOrigin(StrEnum):
    """The way in which the current definition was saved."""

    user_api = "user_api"
    agent_tool_call = "agent_tool_call"
    imported = "imported"
    seed = "seed"


class RoutineAuthorType(StrEnum):
    """The kind of author of a version."""

    user = "user"
    agent = "agent"
    imported = "imported"
    system = "system"


class RoutineOutcome(StrEnum):
    """The end of the last run that counts."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


def new_routine_id() -> str:
    """`pln_` and a cuid (contract: routines.Routine)."""
    return f"pln_{new_id()}"


def new_grant_id() -> str:
    """`wtg_` and 32 hex digits (contract: routine_trust.TrustGrant)."""
    return f"wtg_{secrets.token_hex(16)}"


class SavedRoutine(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """The slug is of a deleted routine, too, which is restored when the slug is saved again.

    `head_version`: the version that runs; `definition_hash`, `dsl_version` and `manifest` are copies of what it says.
    `risk_reasons`: why its definition needs a review. `approved_version`: the last version that was active, to which a
    rejected change returns. `budget_hard_stop`: the monthly budget ends runs, and does not only warn;
    `budget_warned_in` and `budget_exceeded_in` are the months in which people have been notified.
    """

    __tablename__ = "routines"
    __kinds__: ClassVar = frozenset({"routine"})
    __bookkeeping__: ClassVar = frozenset(
        {"invocation_count", "last_invoked_at", "last_invocation_status", "budget_warned_in", "budget_exceeded_in"}
    )
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("workspace_id", "slug"),
        belongs_to("author_crew_id", "crews", ondelete="SET NULL (author_crew_id)"),
        belongs_to("author_agent_id", "agents", ondelete="SET NULL (author_agent_id)"),
        CheckConstraint("monthly_budget_usd >= 0", name="budget"),
        Index("routines_name_idx", "workspace_id", "name", "id"),
        Index("routines_popular_idx", "workspace_id", text("invocation_count DESC"), "name", "id"),
        Index("routines_recent_idx", "workspace_id", text("coalesce(last_invoked_at, created_at) DESC"), "name", "id"),
        Index("routines_author_crew_id_idx", "workspace_id", "author_crew_id"),
        Index("routines_author_agent_id_idx", "workspace_id", "author_agent_id"),
        Index("routines_author_user_id_idx", "author_user_id"),
    )
    id: str = text_field(ID, default_factory=new_routine_id, primary_key=True)
    slug: str = text_field(LONGEST_SLUG, holds=NOTHING)
    name: str = text_field(LABEL, default="", holds=MENTIONS)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    icon: str | None = text_field(LONGEST_SLUG, default=None, holds=NOTHING)
    color: str | None = text_field(LONGEST_SLUG, default=None, holds=NOTHING)
    status: RoutineStatus = enum_field(RoutineStatus.active)
    authored_via: RoutineOrigin = enum_field(RoutineOrigin.user_api)
    author_crew_id: str | None = None
    author_agent_id: str | None = None
    author_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    head_version: int = 1
    approved_version: int | None = None
    definition_hash: str = text_field(HASH, holds=NOTHING)
    dsl_version: str = text_field(LINE, default="1.0", holds=NOTHING)
    manifest: dict[str, Any] = json_field(LARGEST_DEFINITION, holds=DERIVED)
    risk_reasons: list[str] = json_field(NOTES, default_factory=list, holds=NOTHING)
    tags: list[str] = json_field(NOTES, default_factory=list, holds=NOTHING)
    monthly_budget_usd: float = 0
    budget_hard_stop: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    budget_warned_in: str | None = text_field(NAME, default=None, holds=NOTHING)
    budget_exceeded_in: str | None = text_field(NAME, default=None, holds=NOTHING)
    invocation_count: int = 0
    last_invoked_at: datetime | None = time_field(default=None)
    last_invocation_status: RoutineOutcome | None = enum_field(RoutineOutcome, default=None)


ROUTINE_STATES = Machine(
    SavedRoutine,
    "status",
    {
        RoutineStatus.active: frozenset({RoutineStatus.proposed, RoutineStatus.disabled}),
        RoutineStatus.proposed: frozenset({RoutineStatus.active, RoutineStatus.disabled}),
        RoutineStatus.disabled: frozenset({RoutineStatus.active}),
    },
    called="Routine",
)
"""contract: routines-dsl.states.Routine"""


class RoutineVersion(TenantTable, table=True):
    """A definition, once for a routine: `source` is the text as it was sent, JSON or else YAML, and never changes;
    `definition` has its values. `definition_hash` is the SHA-256 of the text.

    Definitions are the team's, and programs read them: no erasure of a person rewrites them.
    """

    __tablename__ = "routine_versions"
    __table_args__ = (
        tenant_key(),
        belongs_to("routine_id", "routines", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "routine_id", "number"),
        UniqueConstraint("workspace_id", "routine_id", "definition_hash"),
    )
    routine_id: str
    number: int
    definition_hash: str = text_field(HASH, holds=NOTHING)
    dsl_version: str = text_field(LINE, default="1.0", holds=NOTHING)
    source: str = text_field(LONGEST_SOURCE, holds=CONFIGURATION)
    is_json: bool = True
    definition: dict[str, Any] = json_field(LARGEST_DEFINITION, holds=CONFIGURATION)
    author_type: RoutineAuthorType = enum_field(RoutineAuthorType.user)
    author_id: str = text_field(ID, default="", holds=BY)
    parent_version: int | None = None
    change_summary: str | None = text_field(LONGEST_SUMMARY, default=None, holds=WORDS)
    created_at: datetime = stored_at()


class RoutineStepOverride(TenantTable, Timestamps, table=True):
    """Another prompt or model for a step, in all later runs of any version."""

    __tablename__ = "routine_step_overrides"
    __table_args__ = (
        belongs_to("routine_id", "routines", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "routine_id", "step_id"),
    )
    routine_id: str
    step_id: str = text_field(LONGEST_SLUG, holds=NOTHING)
    prompt: str | None = text_field(PROMPT, default=None, holds=CONFIGURATION)
    model_override: str | None = text_field(LINE, default=None, holds=NOTHING)


class RoutineStateEntry(TenantTable, Timestamps, table=True):
    """A value that a routine keeps between its runs: one set for each schedule, and one, of the empty schedule, for all
    other runs.
    """

    __tablename__ = "routine_state"
    __table_args__ = (
        belongs_to("routine_id", "routines", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "routine_id", "schedule_id", "key"),
    )
    routine_id: str
    schedule_id: str = text_field(ID, default="", holds=NOTHING)
    key: str = text_field(LONGEST_KEY, collation="C", holds=NOTHING)
    value: str = text_field(PROMPT, default="", holds=CONFIGURATION)


class RoutineTrustGrant(TenantTable, table=True):
    """A standing approval of one approval step, for one exact definition. One is live for a step and a definition until
    it is revoked; a used-up or expired one is revoked by the next.
    """

    __tablename__ = "routine_trust_grants"
    __table_args__ = (
        belongs_to("routine_id", "routines", ondelete="CASCADE"),
        Index(
            "routine_trust_grants_live_key",
            "workspace_id",
            "routine_id",
            "step_id",
            "definition_hash",
            unique=True,
            postgresql_where=text("revoked_at IS NULL"),
        ),
        Index("routine_trust_grants_list_idx", "workspace_id", "routine_id", "granted_at", "id"),
        Index("routine_trust_grants_granted_by_user_id_idx", "granted_by_user_id"),
        Index("routine_trust_grants_revoked_by_user_id_idx", "revoked_by_user_id"),
        CheckConstraint("max_uses >= 1 AND uses >= 0 AND prior_approvals >= 0", name="counted"),
    )
    id: str = text_field(ID, default_factory=new_grant_id, primary_key=True)
    routine_id: str
    step_id: str = text_field(LONGEST_SLUG, holds=NOTHING)
    definition_hash: str = text_field(HASH, holds=NOTHING)
    granted_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    granted_at: datetime = stored_at()
    reason: str | None = text_field(LONGEST_SUMMARY, default=None, holds=WORDS)
    prior_approvals: int = 0
    max_uses: int | None = None
    uses: int = 0
    expires_at: datetime | None = time_field(default=None)
    revoked_at: datetime | None = time_field(default=None)
    revoked_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    revoke_reason: str | None = text_field(LONGEST_SUMMARY, default=None, holds=WORDS)
