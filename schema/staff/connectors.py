"""GraphQL: connectors and recipes."""

import strawberry

from resolvers.staff.connectors import catalog, installation, kits, manifest, verification
from resolvers.staff.connectors import recipes as recipe_ops
from schema.bridge.fields import mutation, output, query

output(
    manifest.ConnectorField, description="A field of the form that a connector is installed with.", fields={"type": str}
)
output(manifest.ConnectorMcp, fields={"transport": str, "env": "Variable -> template."})
output(
    manifest.VerifyHttp,
    description="The request that shows whether the provider accepts the values.",
    fields={"headers": "Header -> template."},
)
output(manifest.ConnectorListItem, fields={"auth_mode": str})
output(
    manifest.Connector,
    description="A service that agents can be connected to. `fields` is null where nothing is asked for.",
    fields={"auth_mode": str, "derived": "Name -> template."},
)
output(recipe_ops.RecipeCredential, fields={"type": str})
output(
    recipe_ops.RecipeServer,
    description="An MCP server of the crew.",
    fields={"transport": str, "env_mapping": "Variable of the server -> name of the credential."},
)
output(verification.VerifyResult, description="Whether the provider accepts the values, and why not.")
output(installation.InstallResult, description="`nextStep` is null when nothing is left to do.")
output(
    kits.RecipePreview, description="What an installation would make.", fields={"existing_credentials": "Name -> true."}
)


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
