"""Memories of agents and crews: versions, search, health, transfer, and rules that are derived from the journal."""

from resolvers.kernel import Domain
from resolvers.oversight.memory.consolidation import ConsolidationStarted, run_consolidation
from resolvers.oversight.memory.exporting import MemoryExport, export_memory, export_memory_bundle
from resolvers.oversight.memory.health import MemoryHealth, get_memory_health
from resolvers.oversight.memory.history import (
    MemoryRestored,
    VersionContent,
    VersionEntry,
    VersionLog,
    get_version_content,
    list_memory_history,
    restore_memory_version,
)
from resolvers.oversight.memory.importing import MOST_BODY, MemoryImported, import_memory
from resolvers.oversight.memory.proposals import (
    MemoryProposalApproved,
    MemoryProposalDiff,
    MemoryProposalRejected,
    MemoryProposalView,
    approve_proposal,
    compare_proposal,
    explain_proposal,
    reject_proposal,
)
from resolvers.oversight.memory.searching import EpisodicHit, MemoryFound, search_memory, search_memory_as_agent

DOMAIN = Domain("memory", scopes="agents")
