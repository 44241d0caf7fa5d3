"""GraphQL: connectors and recipes."""

import strawberry
from strawberry.scalars import JSON

from resolvers.staff.connectors import catalog, installation, kits, manifest, verification
from resolvers.staff.connectors import recipes as recipe_ops
from schema.bridge.fields import mutation, output, query


@output(manifest.Brand)
class ConnectorBrandType:
    """`logo` is the key of an icon, `color` #RRGGBB or empty."""

    logo: str
    color: str


@output(manifest.ConnectorField)
class ConnectorFieldType:
    """A field of the form that a connector is installed with."""

    key: str
    label: str
    type: str
    required: bool
    default: str | None
    placeholder: str | None
    help: str | None
    choices: list[str] | None


@output(manifest.ConnectorOAuth)
class ConnectorOAuthType:
    """The authorization server, where the user brings a client of their own."""

    authorization_url: str
    token_url: str
    scopes: list[str]
    pkce: bool


@output(manifest.ConnectorMcp)
class ConnectorMcpType:
    """The MCP server: a command that is started, or an address that is called. Texts may have placeholders."""

    transport: str
    command: str | None
    args: list[str] | None
    endpoint: str | None
    env: JSON | None = strawberry.field(description="Variable -> template.")


@output(manifest.VerifyHttp)
class ConnectorVerifyHttpType:
    """The request that shows whether the provider accepts the values."""

    method: str
    url: str
    headers: JSON | None = strawberry.field(description="Header -> template.")
    expect_status: int


@output(manifest.Verify)
class ConnectorVerifyType:
    """How it is found out whether the values are right: by a request, or by a method of the MCP server."""

    http: ConnectorVerifyHttpType | None
    mcp_method: str | None


@output(manifest.ConnectorDocs)
class ConnectorDocsType:
    """Setup instructions, as Markdown."""

    setup_md: str


@output(manifest.ConnectorListItem)
class ConnectorListItemType:
    """A connector in the catalog."""

    id: strawberry.ID
    name: str
    description: str
    category: str
    auth_mode: str
    brand_logo: str
    brand_color: str


@output(manifest.Connector)
class ConnectorType:
    """A service that agents can be connected to. `fields` is null where nothing is asked for."""

    id: strawberry.ID
    name: str
    description: str
    brand: ConnectorBrandType
    category: str
    auth_mode: str
    fields: list[ConnectorFieldType] | None
    oauth: ConnectorOAuthType | None
    mcp: ConnectorMcpType
    derived: JSON | None = strawberry.field(description="Name -> template.")
    verify: ConnectorVerifyType | None
    docs: ConnectorDocsType | None


@output(recipe_ops.RecipeCredential)
class RecipeCredentialType:
    """A credential that the crew needs: it is named like its variable."""

    env_var_name: str
    provider: str
    type: str
    label: str
    help_url: str | None


@output(recipe_ops.RecipeServer)
class RecipeServerType:
    """An MCP server of the crew."""

    name: str
    display_name: str
    transport: str
    command: str | None
    args: list[str] | None
    endpoint: str | None
    env_mapping: JSON | None = strawberry.field(description="Variable of the server -> name of the credential.")
    icon: str | None


@output(recipe_ops.ConnectorRecipe)
class ConnectorRecipeType:
    """A crew to be made, the credentials it needs, and its MCP servers."""

    slug: str
    name: str
    description: str
    icon: str
    color: str
    crew_slug: str
    credentials: list[RecipeCredentialType]
    mcp_servers: list[RecipeServerType]


@output(verification.VerifyResult)
class ConnectorVerifyResultType:
    """Whether the provider accepts the values, and why not."""

    ok: bool
    message: str | None


@output(installation.InstallResult)
class ConnectorInstallResultType:
    """`nextStep` is null when nothing is left to do."""

    integration_id: strawberry.ID
    next_step: str | None
    oauth_url: str | None


@output(kits.RecipePreview)
class RecipePreviewType:
    """What an installation would make."""

    recipe: ConnectorRecipeType
    needed_credentials: list[str]
    existing_credentials: JSON = strawberry.field(description="Name -> true.")
    crew_slug_available: bool
    resolved_crew_slug: str


@output(kits.RecipeInstall)
class RecipeInstallType:
    """The crew that was made, and what came with it, by name."""

    crew_id: strawberry.ID
    crew_slug: str
    credentials_added: list[str]
    credentials_reused: list[str]
    mcp_servers_added: list[str]


@strawberry.type
class ConnectorQuery:
    connectors = query(catalog.list_connectors, ConnectorListItemType)
    connector = query(catalog.get_connector, ConnectorType)
    recipes = query(recipe_ops.list_recipes, ConnectorRecipeType)
    recipe = query(recipe_ops.get_recipe, ConnectorRecipeType)
    recipe_preview = query(kits.preview_recipe, RecipePreviewType)


@strawberry.type
class ConnectorMutation:
    verify_connector = mutation(verification.verify_connector, ConnectorVerifyResultType)
    install_connector = mutation(installation.install_connector, ConnectorInstallResultType)
    install_recipe = mutation(kits.install_recipe, RecipeInstallType)
