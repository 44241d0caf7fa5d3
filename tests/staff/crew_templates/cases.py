"""Cases of crew templates, for the tests that are made for every operation."""

from resolvers.errors import Code
from tests.generation.recipes import Recipe

NAMED = {"slug": "security-audit"}
RECIPES = {
    "crew_templates.get": Recipe(NAMED),
    "crew_ai.suggest": Recipe({"description": "Look after the harbour"}, refused=Code.UNPROCESSABLE),
    "crew_templates.deploy": Recipe(NAMED | {"crew_name": "Watch"}),
}
