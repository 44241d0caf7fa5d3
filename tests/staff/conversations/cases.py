"""Cases of searches, for the tests that are made for every operation."""

from tests.generation.recipes import Recipe

RECIPES = {"conversations.search": Recipe({"query": "rain"})}
