"""Cases of memories, for the tests that are made for every operation."""

import hashlib

from models.attention.inbox import InboxItem, InboxKind, SenderType, inbox_item_id
from models.people.workspaces import Role
from models.staff.memory import MemoryProposal, MemoryText
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe

DIGEST = hashlib.sha256(b"Likes tea").hexdigest()
PATH = "agent:hand/AGENT.md"


@entity
def memory_text(plot: Plot) -> MemoryText:
    of = {"path": PATH, "sha256": DIGEST, "content": "Likes tea"}
    return MemoryText(crew_id=plot["crew"].id, agent_id=plot["agent"].id, **of, **plot.here)


@entity
def memory_proposal(plot: Plot) -> MemoryProposal:
    rule = {"pattern": "When a deploy fails", "action": "Roll back", "evidence": ["j1", "j2"], "confidence": 0.9}
    return MemoryProposal(crew_id=plot["crew"].id, rules=[rule], entries_scanned=12, **plot.here)


@entity
def memory_proposal_item(plot: Plot) -> InboxItem:
    """Managers are asked about the proposal."""
    kind, source = InboxKind.memory_consolidation, plot["memory_proposal"].id
    of = {"id": inbox_item_id(kind, source), "kind": kind, "source_id": source, "title": "One rule is proposed"}
    told = {"sender_type": SenderType.system, "sender_name": "Consolidator", "payload": {}}
    return InboxItem(target_role=Role.MANAGER, **of, **told, **plot.here)


VERSION = {"sha": DIGEST, "path": PATH}
DOCUMENT = {"path": "AGENT.md", "tier": "agent", "body": "# Notes\n\nThe staging host is reached over the jump box.\n"}
PROPOSAL = {"proposal_id": "memory_proposal"}
RECIPES = {
    "memory.versions": Recipe({"path": PATH, "limit": 5}),
    "memory.version_content": Recipe(VERSION, refused=Code.GONE),
    "memory.version_restore": Recipe(VERSION | {"tier": "agent"}, refused=Code.GONE),
    "memory.search_hybrid": Recipe({"query": "tea", "limit": 5, "scope": "own"}, chosen=frozenset({"crew_id"})),
    "internal.memory.search_hybrid": Recipe({"query": "tea"}, chosen=frozenset({"crew_id"}), refused=Code.FORBIDDEN),
    "memory.export_zip": Recipe(refused=Code.NOT_FOUND),
    "memory.import": Recipe({"documents": [DOCUMENT]}),
    "consolidate.run": Recipe({"since": "12h"}),
    "consolidate.proposal_explain": Recipe(ids=PROPOSAL),
    "consolidate.proposal_diff": Recipe(ids=PROPOSAL),
    "consolidate.proposal_approve": Recipe(ids=PROPOSAL),
    "consolidate.proposal_reject": Recipe({"reason": "Too general"}, ids=PROPOSAL),
}
