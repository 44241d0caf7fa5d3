"""Cases of connectors and recipes, for the tests that are made for every operation."""

from tests.generation.recipes import Recipe

RECIPES = {
    "connectors.get": Recipe({"connector_id": "github"}, chosen=frozenset({"connector_id"})),
    "recipes.get": Recipe({"slug": "research-crew"}),
}
