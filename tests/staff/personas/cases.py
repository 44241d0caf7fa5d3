"""Cases of personas, for the tests that are made for every operation."""

import hashlib

from models.staff.memory import MemoryTier, MemoryVersion
from tests.generation.entities import Plot, entity


@entity
def persona_version(plot: Plot) -> MemoryVersion:
    """Of a text that was not stored."""
    digest, agent = hashlib.sha256(b"You like tea").hexdigest(), plot["agent"]
    of = {"path": "agent:hand/PERSONA.md", "tier": MemoryTier.persona, "sha256": digest, "bytes": 12}
    return MemoryVersion(owner_id=agent.id, written_by=plot.owner.user_id, parent_sha=digest, **of, **plot.here)
