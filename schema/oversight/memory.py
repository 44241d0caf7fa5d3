"""GraphQL: memories."""

import strawberry

from resolvers.oversight import memory as memory_ops
from schema.bridge.fields import mutation, output, query

output(memory_ops.VersionEntry, name="MemoryLogEntry", fields={"bytes": float})
output(memory_ops.VersionLog, name="MemoryLog")
output(memory_ops.VersionContent, name="MemoryContent", fields={"bytes": float})
output(memory_ops.EpisodicHit, fields={"age": float})


@strawberry.type
class MemoryQuery:
    memory_history = query(memory_ops.list_memory_history)
    memory_content = query(memory_ops.get_version_content)
    memory_health = query(memory_ops.get_memory_health)
    search_memory = query(memory_ops.search_memory)
    memory_export = query(memory_ops.export_memory)
    memory_proposal = query(memory_ops.explain_proposal)
    memory_proposal_diff = query(memory_ops.compare_proposal)


@strawberry.type
class MemoryMutation:
    restore_memory_version = mutation(memory_ops.restore_memory_version)
    import_memory = mutation(memory_ops.import_memory)
    run_consolidation = mutation(memory_ops.run_consolidation)
    approve_memory_proposal = mutation(memory_ops.approve_proposal)
    reject_memory_proposal = mutation(memory_ops.reject_proposal)
