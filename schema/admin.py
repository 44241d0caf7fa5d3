"""GraphQL: administration."""

from datetime import datetime

import strawberry

from models.workspaces import Role
from resolvers import admin as admin_ops
from resolvers.instance.log_level import LogLevel
from schema.bridge import Edge, mutation, node, output, query

strawberry.enum(LogLevel)


@node(admin_ops.AdminStats)
class AdminStatsType:
    """Counters of the workspace."""

    workspaces: int = strawberry.field(description="Always 1: the current workspace.")
    users: int = strawberry.field(description="Members of the workspace.")
    agents: int = strawberry.field(description="Agents that are not deleted.")
    running: int = strawberry.field(description="Runs that have not ended.")


@node(admin_ops.AdminUser)
class AdminUserType:
    """A member of the workspace, with the account. `createdAt` is that of the account."""

    id: strawberry.ID
    email: str
    full_name: str | None
    avatar_url: str | None
    created_at: datetime
    role: Role
    workspace: Edge


@node(admin_ops.AdminWorkspace)
class AdminWorkspaceType:
    """The workspace, with the numbers of its members, agents and crews."""

    id: strawberry.ID
    name: str
    slug: str
    created_at: datetime
    updated_at: datetime
    member_count: int
    agent_count: int
    crew_count: int


@output(admin_ops.LogLevelState)
class LogLevelStateType:
    """The log level of the server. With `expiresAt`, it returns to `baseline` then."""

    level: LogLevel
    baseline: LogLevel = strawberry.field(description="The configured level (CREWSHIP_LOG_LEVEL).")
    expires_at: datetime | None


@output(admin_ops.Disk)
class DiskType:
    """The file system of the data directory, in bytes; `error` instead, if it cannot be read."""

    path: str
    total_bytes: float | None
    free_bytes: float | None
    used_bytes: float | None
    used_pct: float | None = strawberry.field(description="Used part of what can be used, in percent.")
    error: str | None


@output(admin_ops.AdminHealth)
class AdminHealthType:
    """The process that answers."""

    uptime_seconds: int
    log_level: LogLevelStateType
    disk: DiskType


@output(admin_ops.LegacyResources)
class LegacyResourcesType:
    """Whether there are containers or volumes with names of earlier releases."""

    present: bool


@output(admin_ops.Pruned)
class PrunedType:
    """Names of the containers and volumes that were removed."""

    removed: list[str]
    count: int


@strawberry.type
class AdminQuery:
    admin_stats = query(admin_ops.admin_stats, AdminStatsType)
    admin_users = query(admin_ops.admin_users, AdminUserType)
    admin_workspaces = query(admin_ops.admin_workspaces, AdminWorkspaceType)
    log_level = query(admin_ops.get_log_level, LogLevelStateType)
    admin_health = query(admin_ops.admin_health, AdminHealthType)
    legacy_resources = query(admin_ops.detect_legacy_resources, LegacyResourcesType)


@strawberry.type
class AdminMutation:
    set_log_level = mutation(admin_ops.set_log_level, LogLevelStateType)
    prune_legacy_resources = mutation(admin_ops.prune_legacy_resources, PrunedType)
    prune_crew_runtimes = mutation(admin_ops.prune_crew_runtimes, PrunedType)
