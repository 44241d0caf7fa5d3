"""Cases of preferences, for the tests that are made for every operation."""

from models.people.preferences import Preference
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def preference(plot: Plot) -> Preference:
    return Preference(user_id=plot.owner.user_id, key="ui.layout", value={"columns": [1, 2], "dense": True})


KEY = {"key": "ui.layout"}
RECIPES = {
    "me.preferences_set": Recipe(KEY | {"value": {"columns": [3]}}),
    "me.preferences_delete": Recipe(KEY),
}
