"""GraphQL: administration."""

from typing import Annotated

import strawberry

from resolvers.oversight import admin as admin_ops
from schema.bridge.fields import Edge, mutation, node, output, query

output(admin_ops.LogLevelState, fields={"baseline": "The configured level (CREWSHIP_LOG_LEVEL)."})
output(
    admin_ops.Disk,
    fields={
        "total_bytes": float | None,
        "free_bytes": float | None,
        "used_bytes": float | None,
        "used_pct": "The used share, in percent.",
    },
)
output(admin_ops.ExportedMemoryVersion, fields={"bytes": float})
output(admin_ops.ExportedInboxItem, fields={"source_id": str})
output(admin_ops.PersonalDataDeleted, fields={"data_subject": strawberry.ID})
output(
    admin_ops.PersonErased,
    fields={
        "data_subject": strawberry.ID,
        "account_deleted": "True if the person belonged to no other workspace.",
        "scope": "Number of rows by table.",
    },
)
output(
    admin_ops.GdprReceipt,
    fields={
        "error": "The reason for the failure.",
        "archive_bytes": Annotated[float | None, "Size of an archive that can be downloaded over REST."],
        "scope": "Number of rows by table.",
    },
)
output(admin_ops.MemoryTotals, fields={"bytes": float})
output(admin_ops.TierCount, fields={"bytes": float})
output(admin_ops.AgentMemory, fields={"bytes": float})
output(admin_ops.MemoryVersionItem, name="MemoryVersion", fields={"bytes": float})
output(admin_ops.FiltersApplied, name="MemoryFiltersApplied")
output(admin_ops.MemoryVersionContent, fields={"bytes": float})
output(
    admin_ops.Retention,
    fields={
        "days": "The effective number.",
        "own_days": "The workspace's own setting, if any.",
        "least_days": "The permitted minimum.",
        "most_days": "The permitted maximum; 0 means no maximum, and allows 0.",
    },
)


@node(admin_ops.AdminStats)
class AdminStatsType:
    """Counters of the workspace."""

    workspaces: int = strawberry.field(description="Always 1: the current workspace.")
    users: int = strawberry.field(description="Members of the workspace.")
    agents: int = strawberry.field(description="Agents that are not deleted.")
    crews: int = strawberry.field(description="Crews that are not deleted.")
    running: int = strawberry.field(description="Runs that have not ended.")


@node(admin_ops.AdminUser)
class AdminUserType:
    """A member of the workspace, with the account. `createdAt` is when the account was created."""

    fields = "id user_id email full_name avatar_url created_at role workspace"
    id = strawberry.field(deprecation_reason="A user can be a member of several workspaces. Use `userId`.")
    workspace: Edge


@node(admin_ops.AdminWorkspace)
class AdminWorkspaceType:
    """The workspace, with the numbers of its members, agents and crews."""

    fields = "id name slug created_at updated_at member_count agent_count crew_count"


@strawberry.type
class AdminQuery:
    admin_stats = query(admin_ops.admin_stats, AdminStatsType)
    admin_users = query(admin_ops.admin_users, AdminUserType)
    admin_workspaces = query(admin_ops.admin_workspaces, AdminWorkspaceType)
    gdpr_receipt = query(admin_ops.get_receipt)
    memory_stats = query(admin_ops.memory_stats)
    memory_versions = query(admin_ops.list_memory_versions)
    memory_version_content = query(admin_ops.memory_version_content)
    memory_config = query(admin_ops.get_memory_config)
    retention = query(admin_ops.list_retention)
    log_level = query(admin_ops.get_log_level)
    admin_health = query(admin_ops.admin_health)
    journal_verification = query(admin_ops.verify_journal)
    security_posture = query(admin_ops.get_security_posture)
    rate_limits = query(admin_ops.list_rate_limits)
    legacy_resources = query(admin_ops.detect_legacy_resources)


@strawberry.type
class AdminMutation:
    export_personal_data = mutation(admin_ops.export_personal_data)
    delete_personal_data = mutation(admin_ops.delete_personal_data)
    archive_person = mutation(admin_ops.archive_person)
    erase_person = mutation(admin_ops.erase_person)
    update_memory_config = mutation(admin_ops.update_memory_config)
    set_retention = mutation(admin_ops.set_retention)
    set_log_level = mutation(admin_ops.set_log_level)
    set_rate_limit = mutation(admin_ops.set_rate_limit)
    reset_rate_limit = mutation(admin_ops.reset_rate_limit)
    prune_legacy_resources = mutation(admin_ops.prune_legacy_resources)
    prune_crew_runtimes = mutation(admin_ops.prune_crew_runtimes)
    reap_orphan_containers = mutation(admin_ops.reap_orphan_containers)
    reencrypt_secrets = mutation(admin_ops.reencrypt_secrets)
