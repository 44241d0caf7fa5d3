"""GraphQL: administration."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.people.gdpr import GdprActionType, GdprStatus
from models.people.workspaces import Role
from models.retention import RetentionKind
from models.staff.memory import MemoryTier
from resolvers.instance.log_level import LogLevel
from resolvers.oversight import admin as admin_ops
from schema.bridge.fields import Edge, mutation, node, output, query


@node(admin_ops.AdminStats)
class AdminStatsType:
    """Counters of the workspace."""

    workspaces: int = strawberry.field(description="Always 1: the current workspace.")
    users: int = strawberry.field(description="Members of the workspace.")
    agents: int = strawberry.field(description="Agents that are not deleted.")
    running: int = strawberry.field(description="Runs that have not ended.")


@node(admin_ops.AdminUser)
class AdminUserType:
    """A member of the workspace, with the account. `createdAt` is when the account was created."""

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


@output(admin_ops.ExportedPeerCard)
class ExportedPeerCardType:
    """A peer card about the person."""

    id: strawberry.ID
    agent_id: strawberry.ID
    user_slug: str
    path: str
    bytes: int
    created_at: datetime
    updated_at: datetime


@output(admin_ops.ExportedMemoryVersion)
class ExportedMemoryVersionType:
    """A version of a memory that the person wrote."""

    id: strawberry.ID
    path: str
    tier: MemoryTier
    sha256: str
    bytes: float
    written_at: datetime
    written_by: str | None
    payload_ref: str


@output(admin_ops.ExportedInboxItem)
class ExportedInboxItemType:
    """An inbox item for the person. `payloadJson` is JSON text."""

    id: strawberry.ID
    kind: str
    source_id: str
    title: str
    body_md: str | None
    state: str
    payload_json: str | None
    created_at: datetime


@output(admin_ops.PersonalDataExport)
class PersonalDataExportType:
    """What agents hold on a person in the workspace, newest first; at most the newest thousand of each kind."""

    data_subject_id: strawberry.ID
    workspace_id: strawberry.ID
    exported_at: str
    action_id: strawberry.ID
    peer_cards: list[ExportedPeerCardType]
    memory_versions: list[ExportedMemoryVersionType]
    inbox_items: list[ExportedInboxItemType]


@output(admin_ops.DeletedRows)
class DeletedRowsType:
    """Rows that were deleted, by kind."""

    peer_cards: int
    memory_versions: int
    inbox_items: int


@output(admin_ops.PersonalDataDeleted)
class PersonalDataDeletedType:
    """The receipt of a deletion."""

    action_id: strawberry.ID
    data_subject: strawberry.ID
    workspace_id: strawberry.ID
    rows_deleted: int
    scope: DeletedRowsType


@output(admin_ops.PersonErased)
class PersonErasedType:
    """The receipt of an erasure."""

    action_id: strawberry.ID
    data_subject: strawberry.ID
    workspace_id: strawberry.ID
    rows_erased: int
    account_deleted: bool = strawberry.field(description="Whether the person belonged to no other workspace.")
    scope: JSON = strawberry.field(description="Number of rows by table.")


@output(admin_ops.GdprReceipt)
class GdprReceiptType:
    """A request about a person's data: done or in progress."""

    id: strawberry.ID
    action: GdprActionType
    status: GdprStatus
    subject_id: strawberry.ID
    created_at: datetime
    completed_at: datetime | None
    error: str | None = strawberry.field(description="Why it has failed.")
    archive_bytes: float | None = strawberry.field(description="Size of an archive that can be downloaded over REST.")
    expires_at: datetime | None
    scope: JSON = strawberry.field(description="Number of rows by table.")


@output(admin_ops.MemoryTotals)
class MemoryTotalsType:
    """Versions in all; `blobs` counts distinct texts. Times are empty without versions."""

    versions: int
    bytes: float
    blobs: int
    oldest_at: str
    newest_at: str


@output(admin_ops.TierCount)
class TierCountType:
    """Versions of a tier."""

    tier: MemoryTier
    versions: int
    bytes: float


@output(admin_ops.AgentMemory)
class AgentMemoryType:
    """Versions of an agent's memories. `agentSlug` is empty for memories of no agent."""

    agent_slug: str
    versions: int
    bytes: float
    newest_at: datetime


@output(admin_ops.MemoryStats)
class MemoryStatsType:
    """Versions of the workspace's memories, by tier and by agent."""

    workspace_id: strawberry.ID
    totals: MemoryTotalsType
    by_tier: list[TierCountType]
    by_agent: list[AgentMemoryType]


@output(admin_ops.MemoryVersionItem, name="MemoryVersion")
class MemoryVersionType:
    """A version of a memory. `path` is logical; `writtenBy` is empty if that is not known."""

    id: strawberry.ID
    path: str
    tier: MemoryTier
    sha256: str
    bytes: float
    written_at: datetime
    written_by: str
    parent_sha: str | None


@output(admin_ops.FiltersApplied, name="MemoryFiltersApplied")
class FiltersAppliedType:
    """The filters that were sent."""

    tier: str | None
    agent_slug: str | None
    path_prefix: str | None
    since: datetime | None
    until: datetime | None


@output(admin_ops.MemoryVersionList)
class MemoryVersionListType:
    """A page of versions. `nextCursor` is null on the last page only."""

    workspace_id: strawberry.ID
    rows: list[MemoryVersionType]
    next_cursor: str | None
    limit: int
    filters_applied: FiltersAppliedType


@output(admin_ops.MemoryVersionContent)
class MemoryVersionContentType:
    """A version with its text: `content` is base64 of the bytes that were stored."""

    id: strawberry.ID
    path: str
    tier: MemoryTier
    sha256: str
    bytes: float
    written_at: datetime
    written_by: str
    content: str


@output(admin_ops.MemoryConfiguration)
class MemoryConfigurationType:
    """How long versions are kept, and the stored configuration as JSON text."""

    workspace_id: strawberry.ID
    versions_retention_days: int
    is_default: bool
    raw_config: str | None


@output(admin_ops.Retention)
class RetentionType:
    """How long the workspace keeps rows of a kind, in days; 0 is for good."""

    kind: RetentionKind
    days: int = strawberry.field(description="What holds.")
    own_days: int | None = strawberry.field(description="The workspace's choice, if it has made one.")
    default_days: int
    least_days: int = strawberry.field(description="The fewest that may be chosen.")
    most_days: int = strawberry.field(description="The most that may be chosen; where it is 0, any more, and 0.")


@strawberry.type
class AdminQuery:
    admin_stats = query(admin_ops.admin_stats, AdminStatsType)
    admin_users = query(admin_ops.admin_users, AdminUserType)
    admin_workspaces = query(admin_ops.admin_workspaces, AdminWorkspaceType)
    gdpr_receipt = query(admin_ops.get_receipt, GdprReceiptType)
    memory_stats = query(admin_ops.memory_stats, MemoryStatsType)
    memory_versions = query(admin_ops.list_memory_versions, MemoryVersionListType)
    memory_version_content = query(admin_ops.memory_version_content, MemoryVersionContentType)
    memory_config = query(admin_ops.get_memory_config, MemoryConfigurationType)
    retention = query(admin_ops.list_retention, RetentionType)
    log_level = query(admin_ops.get_log_level, LogLevelStateType)
    admin_health = query(admin_ops.admin_health, AdminHealthType)
    legacy_resources = query(admin_ops.detect_legacy_resources, LegacyResourcesType)


@strawberry.type
class AdminMutation:
    export_personal_data = mutation(admin_ops.export_personal_data, PersonalDataExportType)
    delete_personal_data = mutation(admin_ops.delete_personal_data, PersonalDataDeletedType)
    archive_person = mutation(admin_ops.archive_person, GdprReceiptType)
    erase_person = mutation(admin_ops.erase_person, PersonErasedType)
    update_memory_config = mutation(admin_ops.update_memory_config, MemoryConfigurationType)
    set_retention = mutation(admin_ops.set_retention, RetentionType)
    set_log_level = mutation(admin_ops.set_log_level, LogLevelStateType)
    prune_legacy_resources = mutation(admin_ops.prune_legacy_resources, PrunedType)
    prune_crew_runtimes = mutation(admin_ops.prune_crew_runtimes, PrunedType)
