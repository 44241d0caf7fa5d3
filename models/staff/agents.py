"""Agents, permanent and hired for a while."""

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from sqlalchemy import Computed, Index, text
from sqlmodel import Field

from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    secret_field,
    tenant_key,
    text_field,
    time_field,
    unique_live,
)
from models.bounds import CONFIG, DESCRIPTION, LINE, NAME, PERSONA, PROMPT
from models.machines import Machine
from models.personal_data import CONFIGURATION, MENTIONS, NOTHING
from models.sealed import Sealed


class AgentRole(StrEnum):
    """A LEAD plans and assigns the work of its crew; an AGENT executes assignments."""

    AGENT = "AGENT"
    LEAD = "LEAD"


class LeadMode(StrEnum):
    """The mode of a lead: it plans missions without tasks, or waits for tasks."""

    active = "active"
    passive = "passive"


class AgentStatus(StrEnum):
    """The status of an agent: RUNNING during a run, ERROR after a failed run, PENDING_REVIEW until its hire is
    approved.
    """

    IDLE = "IDLE"
    RUNNING = "RUNNING"
    ERROR = "ERROR"
    STOPPED = "STOPPED"
    PENDING_REVIEW = "PENDING_REVIEW"


class CliAdapter(StrEnum):
    """The program that executes the work of the agent."""

    CLAUDE_CODE = "CLAUDE_CODE"
    OPENCODE = "OPENCODE"
    CODEX_CLI = "CODEX_CLI"
    GEMINI_CLI = "GEMINI_CLI"
    CURSOR_CLI = "CURSOR_CLI"
    FACTORY_DROID = "FACTORY_DROID"


class LlmProvider(StrEnum):
    """The provider of the agent's model."""

    ANTHROPIC = "ANTHROPIC"
    OPENAI = "OPENAI"
    GOOGLE = "GOOGLE"
    CURSOR = "CURSOR"
    FACTORY = "FACTORY"
    OLLAMA = "OLLAMA"


class ToolProfile(StrEnum):
    """The tools of an agent: CODING and FULL may run commands; MINIMAL only reads and writes files of its crew."""

    MINIMAL = "MINIMAL"
    CODING = "CODING"
    FULL = "FULL"


class WebhookScheme(StrEnum):
    """The signature scheme of the sender."""

    crewship = "crewship"
    standard_webhooks = "standard_webhooks"
    github = "github"
    stripe = "stripe"
    slack = "slack"


class Agent(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """A worker with a model, an adapter and a prompt.

    An ephemeral agent past its time has `expired_at` set: a ghost, that keeps its row, leaves the crew's quota, and may
    be rehired. The order of the list is an index of its own: ghosts last, then newest first by the end or the beginning
    of their life, `listed_at`.
    """

    __bookkeeping__: ClassVar = frozenset({"status", "schedule_last_run", "schedule_next_run", "expired_at"})
    __untimed__: ClassVar = frozenset({"persona"})

    __tablename__ = "agents"
    __table_args__ = (
        tenant_key(),
        unique_live("agents", "workspace_id", "slug"),
        Index(
            "agents_crew_id_lead_key",
            "crew_id",
            unique=True,
            postgresql_where=text("agent_role = 'LEAD' AND deleted_at IS NULL"),
        ),
        belongs_to("crew_id", "crews"),
        belongs_to("parent_lead_id", "agents", deferrable=True),
        Index(
            "agents_workspace_id_created_at_id_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        # of deleted ones too: what they have done stays their crew's
        Index("agents_workspace_id_crew_id_created_at_id_idx", "workspace_id", "crew_id", "created_at", "id"),
        Index(
            "agents_list_idx",
            "workspace_id",
            text("(expired_at IS NULL) DESC"),
            text("listed_at DESC"),
            text("id DESC"),
            postgresql_where=text("deleted_at IS NULL"),
        ),
        *[
            Index(
                f"agents_{key}_list_idx",
                "workspace_id",
                key,
                text("(expired_at IS NULL) DESC"),
                text("listed_at DESC"),
                text("id DESC"),
                postgresql_where=text("deleted_at IS NULL"),
            )
            for key in ("crew_id", "agent_role")
        ],
        Index(
            "agents_expires_at_idx",
            "expires_at",
            postgresql_where=text("ephemeral AND expired_at IS NULL AND deleted_at IS NULL"),
        ),
        Index(
            "agents_schedule_next_run_idx",
            "schedule_next_run",
            "id",
            postgresql_where=text("schedule_next_run IS NOT NULL AND deleted_at IS NULL"),
        ),
    )
    crew_id: str | None = None
    name: str = text_field(NAME, holds=MENTIONS)
    slug: str = text_field(LINE * 2, holds=NOTHING)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    role_title: str | None = text_field(LINE, default=None, holds=MENTIONS)
    agent_role: AgentRole = enum_field(AgentRole.AGENT)
    lead_mode: LeadMode | None = enum_field(LeadMode, default=None)
    status: AgentStatus = enum_field(AgentStatus.IDLE)
    cli_adapter: CliAdapter = enum_field(CliAdapter.CLAUDE_CODE)
    llm_provider: LlmProvider | None = enum_field(LlmProvider, default=None)
    llm_model: str | None = text_field(LINE, default=None, holds=NOTHING)
    system_prompt: str | None = text_field(PROMPT, default=None, holds=MENTIONS)
    persona: str | None = text_field(PERSONA, default=None, holds=MENTIONS)
    avatar_seed: str | None = text_field(LINE, default=None, holds=NOTHING)
    avatar_style: str | None = text_field(LINE, default=None, holds=NOTHING)
    avatar_digest: str | None = text_field(LINE, default=None, holds=NOTHING)  # of the stored picture
    timeout_seconds: int = 1800
    tool_profile: ToolProfile = enum_field(ToolProfile.CODING)
    memory_enabled: bool = False
    cli_tools: str | None = text_field(DESCRIPTION, default=None, holds=NOTHING)
    mcp_config_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    schedule_cron: str | None = text_field(LINE, default=None, holds=NOTHING)
    schedule_prompt: str | None = text_field(PROMPT, default=None, holds=MENTIONS)
    schedule_enabled: bool = False
    schedule_last_run: datetime | None = time_field(default=None)
    schedule_next_run: datetime | None = time_field(default=None)
    webhook_secret: Sealed | None = secret_field(LINE, default=None)
    webhook_scheme: WebhookScheme = enum_field(WebhookScheme.crewship)
    webhook_require_timestamp: bool = False
    learning_enabled: bool = False
    learning_set_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    learning_set_at: datetime | None = time_field(default=None)
    learning_reason: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    ephemeral: bool = False
    expires_at: datetime | None = time_field(default=None)
    expired_at: datetime | None = time_field(default=None)
    listed_at: datetime = time_field(
        default=None, nullable=False, sa_column_args=(Computed("COALESCE(expired_at, created_at)", persisted=True),)
    )
    parent_lead_id: str | None = None
    hire_reason: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    created_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")


AGENT_STATES = Machine(
    Agent,
    "status",
    {
        AgentStatus.IDLE: frozenset({AgentStatus.RUNNING, AgentStatus.STOPPED}),
        AgentStatus.RUNNING: frozenset({AgentStatus.IDLE, AgentStatus.ERROR, AgentStatus.STOPPED}),
        AgentStatus.ERROR: frozenset({AgentStatus.RUNNING, AgentStatus.STOPPED}),
        AgentStatus.STOPPED: frozenset({AgentStatus.RUNNING}),
        AgentStatus.PENDING_REVIEW: frozenset({AgentStatus.IDLE}),
    },
)
