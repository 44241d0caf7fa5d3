"""Cases of the state of routines, for the tests that are made for every operation."""

from typing import Any

from tests.generation.recipes import Recipe


def _named(**values: Any) -> Recipe:
    return Recipe(values | {"slug": lambda world: world.home["routine"].slug})


CHOSEN = frozenset({"schedule_id"})
"""A schedule is not looked up."""
RECIPES = {
    "routine_state.get": Recipe(_named().values, chosen=CHOSEN),
    "routine_state.set": Recipe(_named(key="n", value="2").values, chosen=CHOSEN),
    "routine_state.delete_key": Recipe(_named(key="n").values, chosen=CHOSEN),
    "routine_state.clear": Recipe(_named().values, chosen=CHOSEN),
}
