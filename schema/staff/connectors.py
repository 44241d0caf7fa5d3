"""GraphQL: connectors and recipes."""

import strawberry

from resolvers.staff.connectors import catalog, installation, kits, manifest, verification
from resolvers.staff.connectors import recipes as recipe_ops
from schema.bridge.fields import mutation, output, query

output(manifest.ConnectorField, fields={"type": str})
output(manifest.ConnectorMcp, fields={"transport": str, "env": "Variable -> template."})
output(manifest.VerifyHttp, fields={"headers": "Header -> template."})
output(manifest.ConnectorListItem, fields={"auth_mode": str})
output(manifest.Connector, fields={"auth_mode": str, "derived": "Name -> template."})
output(recipe_ops.RecipeCredential, fields={"type": str})
output(
    recipe_ops.RecipeServer,
    fields={"transport": str, "env_mapping": "Variable of the server -> name of the credential."},
)
output(kits.RecipePreview, fields={"existing_credentials": "Name -> true."})


@strawberry.type
class ConnectorQuery:
    connectors = query(catalog.list_connectors)
    connector = query(catalog.get_connector)
    recipes = query(recipe_ops.list_recipes)
    recipe = query(recipe_ops.get_recipe)
    recipe_preview = query(kits.preview_recipe)


@strawberry.type
class ConnectorMutation:
    verify_connector = mutation(verification.verify_connector)
    install_connector = mutation(installation.install_connector)
    install_recipe = mutation(kits.install_recipe)
