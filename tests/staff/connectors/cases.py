"""Cases of connectors and recipes, for the tests that are made for every operation."""

from tests.generation.recipes import Recipe

NAMED = frozenset({"connector_id"})
VALUES = {"ANTHROPIC_API_KEY": "a key", "BRAVE_API_KEY": "another key"}
RECIPES = {
    "connectors.get": Recipe({"connector_id": "github"}, chosen=NAMED),
    "connectors.verify": Recipe({"connector_id": "everything", "fields": {}}, chosen=NAMED),
    "connectors.install": Recipe({"connector_id": "filesystem", "fields": {"root_path": "/data"}}, chosen=NAMED),
    "recipes.get": Recipe({"slug": "research-crew"}),
    "recipes.preview": Recipe({"slug": "research-crew"}),
    "recipes.install": Recipe({"slug": "research-crew", "credential_values": VALUES}),
}
