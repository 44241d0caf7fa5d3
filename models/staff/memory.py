"""Memories of agents and crews: their texts, versions, retention, and rules that wait for a decision."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Column, Computed, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field

from models.base import (
    TenantRow,
    TenantTable,
    belongs_to,
    enum_field,
    json_field,
    stored_at,
    tenant_id,
    text_field,
    time_field,
)
from models.bounds import DESCRIPTION, ID, LINE, NOTES, PROMPT
from models.expiry import Kept
from models.machines import Machine
from models.personal_data import DERIVED, MENTIONS, NOTHING, WHOSE, WORDS, holding
from models.retention import RetentionKind

CONFIG_BYTES: Final = 64 << 10
"""The size of a workspace's configuration; a request is smaller (contract: admin.memory_config_patch)."""
OF_AGENT: Final = "CASE WHEN starts_with(path, 'agent:') THEN split_part(substr(path, 7), '/', 1) ELSE '' END"


class MemoryTier(StrEnum):
    """The tier of a memory: its owner or kind."""

    agent = "agent"
    crew = "crew"
    workspace = "workspace"
    pins = "pins"
    learned = "learned"
    persona = "persona"


class MemoryVersion(TenantTable, table=True):
    """A version of one memory. `path` is logical (`agent:martin/AGENT.md`); `written_by` is the id of a user or an
    agent, or empty. `payload_ref` names the stored text, a file named by the digest.

    `owner_id`: the agent or crew of a persona, because paths name agents by slugs, which other agents may have later.
    """

    __tablename__ = "memory_versions"
    # contract: admin.memory_config_patch
    __kept__: ClassVar = Kept(RetentionKind.memory_versions, most=3650, default=30)
    __table_args__ = (
        Index("memory_versions_list_idx", "workspace_id", text("written_at DESC"), text("id DESC")),
        Index("memory_versions_tier_idx", "workspace_id", "tier", text("written_at DESC"), text("id DESC")),
        Index("memory_versions_agent_idx", "workspace_id", "agent_slug", text("written_at DESC"), text("id DESC")),
        Index("memory_versions_path_idx", "workspace_id", "path", "written_at"),
        Index("memory_versions_sha256_idx", "workspace_id", "sha256"),
        Index("memory_versions_written_by_idx", "workspace_id", "written_by"),
        Index("memory_versions_written_at_idx", "written_at"),
        Index(
            "memory_versions_owner_id_idx",
            "workspace_id",
            "owner_id",
            text("written_at DESC"),
            text("id DESC"),
            postgresql_where=text("owner_id IS NOT NULL"),
        ),
    )
    path: str = text_field(LINE * 3, holds=NOTHING)
    tier: MemoryTier = enum_field(MemoryTier)
    sha256: str = text_field(LINE, holds=NOTHING)
    bytes: int = Field(sa_type=BigInteger)
    written_at: datetime = stored_at()
    written_by: str = text_field(ID, default="", holds=WHOSE)
    parent_sha: str | None = text_field(LINE, default=None, holds=NOTHING)
    payload_ref: str = text_field(LINE, default="", holds=NOTHING)
    owner_id: str | None = text_field(ID, default=None, holds=NOTHING)
    agent_slug: str = text_field(
        LINE * 3,
        default=None,
        nullable=False,
        sa_column_args=(Computed(OF_AGENT, persisted=True),),
        holds=NOTHING,
    )


class MemoryConfig(TenantRow, table=True):
    """A workspace's configuration of its memories: an object with any keys."""

    __tablename__ = "memory_configs"
    workspace_id: str = tenant_id()
    document: dict[str, Any] = json_field(CONFIG_BYTES, holds=MENTIONS)


class MemoryText(TenantTable, table=True):
    """A memory as it is now, for the search: the file is what counts. `content` is its beginning."""

    __tablename__ = "memory_texts"
    __table_args__ = (
        UniqueConstraint("workspace_id", "path"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("memory_texts_list_idx", "workspace_id", text("updated_at DESC"), text("id DESC")),
        Index("memory_texts_crew_id_idx", "workspace_id", "crew_id"),
        Index("memory_texts_agent_id_idx", "workspace_id", "agent_id"),
    )
    crew_id: str
    agent_id: str | None = None
    path: str = text_field(LINE * 3, holds=NOTHING)
    sha256: str = text_field(LINE, holds=NOTHING)
    content: str = text_field(PROMPT, holds=MENTIONS)
    words: str = Field(
        default=None,
        sa_column=Column(
            TSVECTOR, Computed("to_tsvector('simple', content)", persisted=True), nullable=False, **holding(DERIVED)
        ),
    )
    updated_at: datetime = stored_at()


class ProposalStatus(StrEnum):
    """The status of a memory proposal."""

    pending = "pending"
    approved = "approved"
    rejected = "rejected"


def new_proposal_id() -> str:
    return f"mp_{secrets.token_hex(8)}"


def memory_version_id() -> str:
    return f"mv_{secrets.token_hex(8)}"


class MemoryProposal(TenantTable, table=True):
    """Rules that a model has found in the journal of a crew, and that wait for a decision of a person. `evidence`: what
    the model was shown; `scores`: by the pattern of a rule.
    """

    __tablename__ = "memory_proposals"
    __table_args__ = (
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        Index("memory_proposals_crew_id_idx", "workspace_id", "crew_id", "created_at"),
        Index("memory_proposals_decided_by_user_id_idx", "decided_by_user_id"),
    )
    id: str = text_field(ID, default_factory=new_proposal_id, primary_key=True)
    crew_id: str
    status: ProposalStatus = enum_field(ProposalStatus.pending)
    rules: list[Any] = json_field(NOTES, holds=MENTIONS)
    entries_scanned: int = 0
    evidence: dict[str, Any] = json_field(NOTES, default_factory=dict, holds=MENTIONS)
    scores: dict[str, Any] = json_field(NOTES, default_factory=dict, holds=MENTIONS)
    reason: str = text_field(DESCRIPTION, default="", holds=WORDS)
    created_at: datetime = stored_at()
    decided_at: datetime | None = time_field(default=None)
    decided_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")


PROPOSAL_STATES = Machine(
    MemoryProposal,
    "status",
    {
        ProposalStatus.pending: frozenset({ProposalStatus.approved, ProposalStatus.rejected}),
        ProposalStatus.approved: frozenset(),
        ProposalStatus.rejected: frozenset(),
    },
    stamps={"decided_at": frozenset({ProposalStatus.approved, ProposalStatus.rejected})},
    called="Memory proposal",
)
"""contract: memory.states.Proposal"""
