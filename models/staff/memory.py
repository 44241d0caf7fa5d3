"""Versions of agents' memories, and their retention."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Computed, Index, text
from sqlmodel import Field

from models.base import TenantRow, TenantTable, enum_field, json_field, stored_at, tenant_id, text_field
from models.bounds import ID, LINE
from models.expiry import Kept
from models.personal_data import MENTIONS, NOTHING, WHOSE
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
