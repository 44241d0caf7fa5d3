"""Administration of a workspace and of its server."""

from resolvers.kernel import Domain
from resolvers.oversight.admin.archive import GdprReceipt, archive_person, download_archive, get_receipt
from resolvers.oversight.admin.counts import (
    AdminStats,
    AdminUser,
    AdminWorkspace,
    admin_stats,
    admin_users,
    admin_workspaces,
)
from resolvers.oversight.admin.erasure import PersonErased, erase_person
from resolvers.oversight.admin.gdpr import (
    ExportedInboxItem,
    ExportedMemoryVersion,
    PersonalDataDeleted,
    PersonalDataExport,
    delete_personal_data,
    export_personal_data,
)
from resolvers.oversight.admin.health import AdminHealth, Disk, admin_health
from resolvers.oversight.admin.journal_chain import ChainVerification, verify_journal
from resolvers.oversight.admin.log_level import LogLevelState, get_log_level, set_log_level
from resolvers.oversight.admin.memory_config import MemoryConfiguration, get_memory_config, update_memory_config
from resolvers.oversight.admin.memory_versions import (
    AgentMemory,
    FiltersApplied,
    MemoryStats,
    MemoryTotals,
    MemoryVersionContent,
    MemoryVersionItem,
    MemoryVersionList,
    TierCount,
    list_memory_versions,
    memory_stats,
    memory_version_content,
)
from resolvers.oversight.admin.posture import Posture, get_security_posture
from resolvers.oversight.admin.rate_limits import (
    Limiter,
    Limiters,
    list_rate_limits,
    reset_rate_limit,
    set_rate_limit,
)
from resolvers.oversight.admin.reencryption import Reencrypted, reencrypt_secrets
from resolvers.oversight.admin.retention import Retention, list_retention, set_retention
from resolvers.oversight.admin.runtimes import (
    LegacyResources,
    Pruned,
    Reaped,
    detect_legacy_resources,
    prune_crew_runtimes,
    prune_legacy_resources,
    reap_orphan_containers,
)

DOMAIN = Domain("admin", scopes=("workspace:admin",))
