"""Cases of administration, for the tests that are made for every operation."""

import hashlib

from models.people.gdpr import GdprAction, GdprActionType, GdprStatus
from models.staff.memory import MemoryConfig, MemoryTier, MemoryVersion
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def memory_version(plot: Plot) -> MemoryVersion:
    """Of a text that was not stored."""
    digest = hashlib.sha256(b"Likes tea").hexdigest()
    of = {"path": "agent:hand/AGENT.md", "tier": MemoryTier.agent, "sha256": digest, "bytes": 9}
    return MemoryVersion(written_by=plot.second.user_id, parent_sha=digest, **of, **plot.here)


@entity
def memory_config(plot: Plot) -> MemoryConfig:
    return MemoryConfig(document={"versions_retention_days": 90}, **plot.here)


@entity
def gdpr_action(plot: Plot) -> GdprAction:
    ended = {"status": GdprStatus.completed, "completed_at": now(), "scope": {"peer_cards": 1}}
    of = {"actor_user_id": plot.owner.user_id, "subject_id": plot.second.user_id, "reason": "asked by mail"}
    return GdprAction(action=GdprActionType.delete, **of, **ended, **plot.here)


OF_PERSON = Recipe({"user_id": lambda world: world.home.second.user_id}, chosen=frozenset({"user_id"}))
"""Whoever is named: an unknown id has nothing to export or delete, and is no fault."""
RECIPES = dict.fromkeys(
    ["admin.legacy_detect", "admin.legacy_prune", "admin.runtime_prune", "admin.reap_orphan_containers"],
    Recipe(refused=Code.UNAVAILABLE),
) | {
    "admin.rate_limit_set": Recipe({"key": "webhook.agent_per_min", "value": 30}, refused=Code.FORBIDDEN),
    "admin.rate_limit_reset": Recipe({"key": "webhook.agent_per_min"}, refused=Code.FORBIDDEN),
    "admin.log_level_set": Recipe({"level": "warn", "ttl_seconds": 60}),
    "admin.gdpr_export": OF_PERSON,
    "admin.gdpr_delete": OF_PERSON,
    "admin.gdpr_archive": Recipe({"user_id": lambda world: world.home.second.user_id}),
    "admin.gdpr_receipt": Recipe(ids={"id": "gdpr_action"}),
    "admin.gdpr_download": Recipe(ids={"id": "gdpr_action"}, refused=Code.GONE),
    "admin.gdpr_erase": Recipe({"user_id": lambda world: world.home.second.user_id}),
    "admin.memory_versions": Recipe(
        {
            "tier": "agent",
            "agent_slug": "hand",
            "path_prefix": "agent:",
            "since": "2020-01-01T00:00:00Z",
            "until": "2100-01-01T00:00:00Z",
            "limit": 10,
            "cursor": "djE6MjA5OS0wMS0wMVQwMDowMDowMFp8Yw",
        }
    ),
    "admin.memory_version_content": Recipe(ids={"id": "memory_version"}, refused=Code.GONE),
    "admin.retention_set": Recipe({"kind": "events", "days": 3}, chosen=frozenset({"kind"})),
    "admin.memory_config_patch": Recipe({"config": {"versions_retention_days": 60}}),
}
