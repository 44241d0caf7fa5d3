"""REST: connectors and recipes."""

from resolvers.staff.connectors import catalog, installation, kits, manifest, recipes, verification
from rest_compat.http.table import GET, POST

CONNECTORS, RECIPES = "/api/v1/connectors", "/api/v1/recipes"
ROUTES = (
    GET(CONNECTORS, catalog.list_connectors, list[manifest.ConnectorListItem]),
    GET(f"{CONNECTORS}/{{connectorId}}", catalog.get_connector, manifest.Connector),
    POST(f"{CONNECTORS}/{{connectorId}}/verify", verification.verify_connector, verification.VerifyResult),
    POST(
        f"{CONNECTORS}/{{connectorId}}/install",
        installation.install_connector,
        installation.InstallResult,
        status=201,
        place_in_query=True,
    ),
    GET(RECIPES, recipes.list_recipes, list[recipes.ConnectorRecipe]),
    GET(f"{RECIPES}/{{slug}}", recipes.get_recipe, recipes.ConnectorRecipe),
    GET(f"{RECIPES}/{{slug}}/preview", kits.preview_recipe, kits.RecipePreview),
    POST(f"{RECIPES}/{{slug}}/install", kits.install_recipe, kits.RecipeInstall, status=201),
)
