"""Cases of administration, for the tests that are made for every operation."""

from resolvers.kernel import Code
from tests.generation.recipes import Recipe

RECIPES = dict.fromkeys(
    ["admin.legacy_detect", "admin.legacy_prune", "admin.runtime_prune"], Recipe(refused=Code.UNAVAILABLE)
) | {"admin.log_level_set": Recipe({"level": "warn", "ttl_seconds": 60})}
