"""Administration: what those who run a workspace, and the server it is on, ask for."""

from resolvers.admin.counts import AdminStats, AdminUser, AdminWorkspace, admin_stats, admin_users, admin_workspaces
from resolvers.admin.health import AdminHealth, Disk, admin_health
from resolvers.admin.log_level import LogLevelState, get_log_level, set_log_level
from resolvers.admin.runtimes import (
    LegacyResources,
    Pruned,
    detect_legacy_resources,
    prune_crew_runtimes,
    prune_legacy_resources,
)

__all__ = [
    "AdminHealth", "AdminStats", "AdminUser", "AdminWorkspace", "Disk", "LegacyResources", "LogLevelState", "Pruned",
    "admin_health", "admin_stats", "admin_users", "admin_workspaces", "detect_legacy_resources", "get_log_level",
    "prune_crew_runtimes", "prune_legacy_resources", "set_log_level",
]  # fmt: skip
