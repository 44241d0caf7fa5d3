"""REST: administration."""

from datetime import datetime

from pydantic import Field

from models.workspaces import Role, Workspace
from resolvers import admin
from rest_compat.table import GET, POST, PUT, Wire


class AdminStatsJSON(Wire, of=admin.AdminStats):
    workspaces: int
    users: int
    agents: int
    running: int


class UserWorkspaceJSON(Wire, of=Workspace):
    id: str
    name: str
    slug: str


class AdminUserJSON(Wire, of=admin.AdminUser):
    """`created_at` is that of the account."""

    id: str
    email: str
    full_name: str | None
    avatar_url: str | None
    created_at: datetime
    workspace: UserWorkspaceJSON
    role: Role


class AdminWorkspaceJSON(Wire, of=admin.AdminWorkspace):
    id: str
    name: str
    slug: str
    created_at: datetime
    updated_at: datetime
    member_count: int = Field(alias="_count_members")
    agent_count: int = Field(alias="_count_agents")
    crew_count: int = Field(alias="_count_crews")


ADMIN = "/api/v1/admin"
ROUTES = (
    GET(f"{ADMIN}/stats", admin.admin_stats, AdminStatsJSON),
    GET(f"{ADMIN}/users", admin.admin_users, list[AdminUserJSON]),
    GET(f"{ADMIN}/workspaces", admin.admin_workspaces, list[AdminWorkspaceJSON]),
    GET(f"{ADMIN}/log-level", admin.get_log_level, admin.LogLevelState),
    PUT(f"{ADMIN}/log-level", admin.set_log_level, admin.LogLevelState),
    GET(f"{ADMIN}/health", admin.admin_health, admin.AdminHealth),
    GET(f"{ADMIN}/legacy-resources", admin.detect_legacy_resources, admin.LegacyResources),
    POST(f"{ADMIN}/prune-legacy-resources", admin.prune_legacy_resources, admin.Pruned),
    POST(f"{ADMIN}/prune-crew-runtimes", admin.prune_crew_runtimes, admin.Pruned),
)
