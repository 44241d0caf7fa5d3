"""Crews, the users in them, and the ways from one crew to another."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

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
    stored_at,
    tenant_key,
    text_field,
    time_field,
    unique_live,
)
from models.bounds import CONFIG, DESCRIPTION, ID, IMAGE, LINE, NOTES, PAYLOAD, PERSONA
from models.people.workspaces import Role
from models.personal_data import CONFIGURATION, DERIVED, MENTIONS, NOTHING


class NetworkMode(StrEnum):
    """Hosts that the container of a crew can connect to: any, or the allowed domains only."""

    free = "free"
    restricted = "restricted"


class AutonomyLevel(StrEnum):
    """The level of autonomy of a crew's agents, in ascending order."""

    strict = "strict"
    guided = "guided"
    trusted = "trusted"
    full = "full"


class BehaviorMode(StrEnum):
    """The effect on a denied action: it is reported, or stopped."""

    warn = "warn"
    block = "block"


class ConnectionDirection(StrEnum):
    """The direction of a connection: both crews can address each other, or only the first the second."""

    bidirectional = "bidirectional"
    unidirectional = "unidirectional"


class ConnectionStatus(StrEnum):
    """An inactive connection is kept, but agents cannot use it."""

    active = "active"
    inactive = "inactive"


def new_connection_id() -> str:
    """`cc_` and 16 hex digits (contract: crews, CrewConnection.id)."""
    return "cc_" + secrets.token_hex(8)


class Crew(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """A team of agents and its container.

    The `*_json` and `*_config` columns hold the client's text, checked and not normalised, because clients read it
    back. A policy that was never set has a null `policy_set_at`, and the defaults apply. It has a time of its own:
    setting it does not change the crew's (contract: policies).
    """

    __bookkeeping__: ClassVar = frozenset(
        {"issue_counter", "cached_image", "config_hash", "build", "agents_pending_restart", "memory_reviewed_at"}
    )
    __untimed__: ClassVar = frozenset(
        {"persona", "autonomy_level", "behavior_mode", "policy_set_by_user_id", "policy_set_at", "policy_reason"}
    )

    __tablename__ = "crews"
    __table_args__ = (
        tenant_key(),
        unique_live("crews", "workspace_id", "slug"),
        Index(
            "crews_workspace_id_created_at_id_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "crews_deleted_slug_idx",
            "workspace_id",
            "slug",
            postgresql_ops={"slug": "text_pattern_ops"},  # for the ranges of `release_slug`, with any collation
            postgresql_where=text("deleted_at IS NOT NULL"),
        ),
        Index("crews_pending_restart_idx", "id", postgresql_where=text("agents_pending_restart > 0")),
    )
    name: str = text_field(LINE, holds=MENTIONS)
    slug: str = text_field(LINE * 2, holds=NOTHING)
    description: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    color: str | None = text_field(LINE, default=None, holds=NOTHING)
    icon: str | None = text_field(LINE, default=None, holds=NOTHING)
    avatar_style: str | None = text_field(LINE, default=None, holds=NOTHING)
    persona: str | None = text_field(PERSONA, default=None, holds=MENTIONS)
    container_memory_mb: int = 4096
    container_cpus: float = 2.0
    container_ttl_hours: int | None = None
    network_mode: NetworkMode = enum_field(NetworkMode.restricted)
    allowed_domains: list[str] = json_field(PAYLOAD, default_factory=list, holds=NOTHING)
    mcp_config_json: str | None = text_field(CONFIG, default=None, holds=CONFIGURATION)
    escalation_config: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    runtime_image: str | None = text_field(IMAGE, default=None, holds=NOTHING)
    devcontainer_config: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    mise_config: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    services_json: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    cached_image: str | None = text_field(IMAGE, default=None, holds=NOTHING)
    config_hash: str | None = text_field(LINE, default=None, holds=DERIVED)
    build: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    """The last build of the image, as `resolvers/staff/crews/building.py` describes it."""
    agents_pending_restart: int = 0
    """The number of its agents whose container has an older image, by the last measurement."""
    issue_prefix: str | None = text_field(LINE, default=None, holds=NOTHING)
    issue_counter: int = 0
    max_ephemeral_agents: int = 10
    autonomy_level: AutonomyLevel = enum_field(AutonomyLevel.guided)
    behavior_mode: BehaviorMode = enum_field(BehaviorMode.warn)
    policy_set_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    policy_set_at: datetime | None = time_field(default=None)
    policy_reason: str | None = text_field(DESCRIPTION, default=None, holds=MENTIONS)
    memory_reviewed_at: datetime | None = time_field(default=None)
    created_by: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")


class CrewMember(TenantTable, table=True):
    """A user in a crew. A role here raises the workspace role inside this crew; null inherits it."""

    __tablename__ = "crew_members"
    __table_args__ = (
        UniqueConstraint("crew_id", "user_id"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        Index("crew_members_workspace_id_crew_id_created_at_idx", "workspace_id", "crew_id", "created_at"),
        Index("crew_members_user_id_workspace_id_idx", "user_id", "workspace_id"),
    )
    crew_id: str
    user_id: str = Field(foreign_key="users.id", ondelete="CASCADE")
    role: Role | None = enum_field(Role, default=None)
    created_at: datetime = stored_at()


class CrewConnection(TenantTable, Timestamps, table=True):
    """Leave for one crew to talk to another. The pair is ordered: the reverse connection is a row of its own."""

    __tablename__ = "crew_connections"
    __table_args__ = (
        UniqueConstraint("from_crew_id", "to_crew_id"),
        belongs_to("from_crew_id", "crews", ondelete="CASCADE"),
        belongs_to("to_crew_id", "crews", ondelete="CASCADE"),
        CheckConstraint("from_crew_id <> to_crew_id", name="two_crews"),
        Index("crew_connections_workspace_id_created_at_idx", "workspace_id", "created_at"),
        Index("crew_connections_workspace_id_to_crew_id_idx", "workspace_id", "to_crew_id"),
    )
    id: str = text_field(ID, default_factory=new_connection_id, primary_key=True)
    from_crew_id: str
    to_crew_id: str
    direction: ConnectionDirection = enum_field(ConnectionDirection.bidirectional)
    status: ConnectionStatus = enum_field(ConnectionStatus.active)
