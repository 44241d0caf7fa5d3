"""Cases of live channels, for the tests that are made for every operation."""

from tests.generation.recipes import Recipe

RECIPES = {"channels.user": Recipe(ids={"id": "user"})}
PROSE = ("terminals.open",)
