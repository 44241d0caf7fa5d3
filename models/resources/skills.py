"""Skills: what agents can be taught, proposals of new ones, and which agent has which."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import Computed, Index, Integer, UniqueConstraint
from sqlmodel import Field

from models.base import (
    Table,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    stored_at,
    text_field,
    time_field,
)
from models.bounds import CONFIG, DESCRIPTION, FILE_NAME, ID, LABEL, LINE, NAME, SKILL, URL
from models.personal_data import MENTIONS, NOTHING


class SkillCategory(StrEnum):
    """The category of a skill."""

    CODING = "CODING"
    AUTOMATION = "AUTOMATION"
    DATA = "DATA"
    DEVOPS = "DEVOPS"
    SUPPORT = "SUPPORT"
    SALES = "SALES"
    WRITING = "WRITING"
    RESEARCH = "RESEARCH"
    PM = "PM"
    DESIGN = "DESIGN"
    SECURITY = "SECURITY"
    FINANCE = "FINANCE"
    OPS = "OPS"
    CUSTOM = "CUSTOM"


class SkillSource(StrEnum):
    """The source of a skill."""

    BUNDLED = "BUNDLED"
    CUSTOM = "CUSTOM"
    GENERATED = "GENERATED"
    MARKETPLACE = "MARKETPLACE"
    MANAGED = "MANAGED"


class SkillRuntime(StrEnum):
    """The parts of a skill: instructions for the model, a script, tools of MCP servers, or several of them."""

    INSTRUCTIONS = "INSTRUCTIONS"
    SCRIPT = "SCRIPT"
    MCP = "MCP"
    HYBRID = "HYBRID"


class SkillMaturity(StrEnum):
    """The maturity of a skill."""

    OFFICIAL = "OFFICIAL"
    CURATED = "CURATED"
    COMMUNITY = "COMMUNITY"
    EXPERIMENTAL = "EXPERIMENTAL"


class SkillVerification(StrEnum):
    """The verification of a skill."""

    UNVERIFIED = "UNVERIFIED"
    VERIFIED = "VERIFIED"


class ScanStatus(StrEnum):
    """The result of scanning a skill for dangerous content and licenses."""

    UNSCANNED = "UNSCANNED"
    CLEAN = "CLEAN"
    FLAGGED = "FLAGGED"


class PricingTier(StrEnum):
    """The price of a skill."""

    FREE = "FREE"


class SkillLifecycle(StrEnum):
    """The lifecycle state of a skill: stale skills were not used for long, deprecated ones should not be used."""

    active = "active"
    stale = "stale"
    archived = "archived"
    deprecated = "deprecated"


def new_skill_id() -> str:
    """`sk_` and 24 hex digits (contract: skills, Skill.id)."""
    return "sk_" + secrets.token_hex(12)


MATURITY_RANK = "CASE maturity WHEN 'OFFICIAL' THEN 0 WHEN 'CURATED' THEN 1 WHEN 'COMMUNITY' THEN 2 ELSE 3 END"


class Skill(Table, Versioned, Timestamps, table=True):
    """A skill of the catalog, which belongs to the instance: every workspace reads it. `made_in` is the workspace that
    may change it; null for a built-in skill, which no workspace may change.

    `name_key` is the name without letter case: names that differ only in case are equal. `reviewed_at` is the last
    daily review. `tags` and `credential_requirements` are JSON texts. `fingerprint` shows whether a built-in skill is
    this release's.
    """

    __bookkeeping__: ClassVar = frozenset(
        {"verification", "lifecycle_state", "last_used_at", "usage_count", "reviewed_at"}
    )

    __tablename__ = "skills"
    __table_args__ = (
        UniqueConstraint("slug"),
        UniqueConstraint("name_key"),
        Index("skills_list_idx", "maturity_rank", "name", "id"),
        Index("skills_made_in_idx", "made_in"),
    )
    id: str = text_field(ID, default_factory=new_skill_id, primary_key=True)
    made_in: str | None = Field(default=None, foreign_key="workspaces.id", ondelete="CASCADE")
    name: str = text_field(LINE, holds=MENTIONS)
    name_key: str = text_field(LABEL, holds=MENTIONS)
    slug: str = text_field(LINE, holds=NOTHING)
    display_name: str = text_field(LINE, holds=MENTIONS)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    skill_version: str = text_field(NAME, default="1.0.0", holds=NOTHING)
    author: str | None = text_field(LINE, default=None, holds=MENTIONS)
    category: SkillCategory = enum_field(SkillCategory.CUSTOM)
    source: SkillSource = enum_field(SkillSource.CUSTOM)
    icon: str | None = text_field(NAME, default=None, holds=NOTHING)
    verification: SkillVerification = enum_field(SkillVerification.UNVERIFIED)
    downloads: int = 0
    rating_avg: float | None = None
    rating_count: int = 0
    tags: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    featured: bool = False
    pricing_tier: PricingTier = enum_field(PricingTier.FREE)
    tool_count: int | None = None
    vendor: str | None = text_field(LINE, default=None, holds=MENTIONS)
    homepage: str | None = text_field(URL, default=None, holds=NOTHING)
    license: str | None = text_field(LINE, default=None, holds=NOTHING)
    spdx_license: str | None = text_field(NAME, default=None, holds=NOTHING)
    runtime: SkillRuntime = enum_field(SkillRuntime.INSTRUCTIONS)
    maturity: SkillMaturity = enum_field(SkillMaturity.COMMUNITY)
    maturity_rank: int = Field(
        default=None, nullable=False, sa_type=Integer, sa_column_args=(Computed(MATURITY_RANK, persisted=True),)
    )
    scan_status: ScanStatus = enum_field(ScanStatus.UNSCANNED)
    description_quality: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    content: str | None = text_field(SKILL, default=None, holds=MENTIONS)
    credential_requirements: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    mcp_server_command: str | None = text_field(URL, default=None, holds=NOTHING)
    mcp_server_image: str | None = text_field(URL, default=None, holds=NOTHING)
    mcp_transport: str | None = text_field(LINE, default=None, holds=NOTHING)
    dependencies: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    allowed_domains: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    changelog: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    security_score: int | None = None
    lifecycle_state: SkillLifecycle = enum_field(SkillLifecycle.active)
    last_used_at: datetime | None = time_field(default=None)
    usage_count: int = 0
    reviewed_at: datetime | None = time_field(default=None)
    fingerprint: str | None = text_field(NAME, default=None, holds=NOTHING)


class SkillProposal(TenantTable, table=True):
    """A SKILL.md that an agent has written, until a user decides on it. The other columns are derived from the text."""

    __tablename__ = "skill_proposals"
    __table_args__ = (
        UniqueConstraint("crew_id", "file_name"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
    )
    crew_id: str
    file_name: str = text_field(FILE_NAME, holds=NOTHING)
    name: str = text_field(LINE, holds=MENTIONS)
    description: str = text_field(DESCRIPTION, holds=MENTIONS)
    description_quality: str = text_field(DESCRIPTION, default="", holds=MENTIONS)
    category: SkillCategory = enum_field(SkillCategory.CUSTOM)
    scan_status: ScanStatus = enum_field(ScanStatus.UNSCANNED)
    content: str = text_field(SKILL, holds=MENTIONS)
    created_at: datetime = stored_at()


class AgentSkill(TenantTable, table=True):
    """A skill on an agent; `config` is the client's JSON text. The catalog is the instance's, not the workspace's."""

    __tablename__ = "agent_skills"
    __table_args__ = (
        UniqueConstraint("agent_id", "skill_id"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        Index("agent_skills_skill_id_idx", "skill_id"),
    )
    agent_id: str
    skill_id: str = text_field(ID, foreign_key="skills.id", ondelete="CASCADE")
    enabled: bool = True
    config: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    created_at: datetime = stored_at()
