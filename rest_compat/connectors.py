"""REST: connectors and recipes."""

from resolvers.connectors import catalog, manifest, recipes
from rest_compat.table import GET

CONNECTORS, RECIPES = "/api/v1/connectors", "/api/v1/recipes"
ROUTES = (
    GET(CONNECTORS, catalog.list_connectors, list[manifest.ConnectorListItem]),
    GET(f"{CONNECTORS}/{{connectorId}}", catalog.get_connector, manifest.Connector),
    GET(RECIPES, recipes.list_recipes, list[recipes.ConnectorRecipe]),
    GET(f"{RECIPES}/{{slug}}", recipes.get_recipe, recipes.ConnectorRecipe),
)
