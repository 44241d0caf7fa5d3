"""A recipe becomes a crew: with the credentials that are missing and its MCP servers, in one transaction."""

from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models import bounds
from models.resources.credentials import Credential
from models.resources.integrations import CrewIntegration
from models.staff.crews import Crew
from resolvers.kernel import Action, Code, Context, Output, Refusal, at_most, command, procedure
from resolvers.resources.credentials.creation import CreateCredential, add_credential
from resolvers.staff.connectors.recipes import ByRecipe, ConnectorRecipe, recipe_of
from resolvers.staff.crews.crews import SLUG_TAKEN, release_slug, room_for_a_crew

MOST_NUMBER, MOST_VALUES = 99, 100
NO_SLUG: Final = "No slug is available for the crew"
Name = Annotated[str, Field(strict=True, max_length=bounds.CREDENTIAL)]
SecretValues = Annotated[
    dict[Name, Annotated[str, Field(strict=True, max_length=bounds.PROMPT)]],
    at_most(MOST_VALUES),
]
Labels = Annotated[dict[Name, Annotated[str, Field(strict=True, max_length=bounds.LINE)]], at_most(MOST_VALUES)]


class InstallRecipe(ByRecipe):
    """Values by credential name. A blank value counts as absent."""

    credential_values: SecretValues = Field(default={}, repr=False)
    account_labels: Labels = {}


class RecipePreview(Output):
    """The result that an installation would have. `existing_credentials` maps the names of existing credentials to
    true.
    """

    recipe: ConnectorRecipe
    needed_credentials: list[str]
    existing_credentials: dict[str, bool]
    crew_slug_available: bool
    resolved_crew_slug: str


class RecipeInstall(Output):
    """The created crew and its credentials and servers, by name."""

    crew_id: str
    crew_slug: str
    credentials_added: list[str]
    credentials_reused: list[str]
    mcp_servers_added: list[str]


@procedure("recipes.preview", Action.READ, errors=(Code.NOT_FOUND,))
async def preview_recipe(ctx: Context, data: ByRecipe) -> RecipePreview:
    """Check the effects of a recipe.

    Returns the missing credentials and the name of the crew.
    """
    recipe = recipe_of(data.slug)
    existing = await _existing(ctx, recipe)
    slug = await _free_slug(ctx, recipe.crew_slug)
    return RecipePreview(
        recipe=recipe,
        needed_credentials=[name for name in _names(recipe) if name not in existing],
        existing_credentials={name: True for name in _names(recipe) if name in existing},
        crew_slug_available=slug == recipe.crew_slug,
        resolved_crew_slug=slug or recipe.crew_slug,
    )


@command(
    "recipes.install",
    Action.MANAGE,
    audit="crew.installed",
    errors=(Code.PAYMENT_REQUIRED, Code.NOT_FOUND, Code.CONFLICT),
    allow=room_for_a_crew,
    scopes=("crews:write", "credentials:write"),
)
async def install_recipe(ctx: Context, data: InstallRecipe) -> RecipeInstall:
    """Create a crew from a recipe.

    Creates the missing credentials, the crew and its MCP servers in one transaction. An existing credential is
    used unchanged, even if a value is sent.
    """
    recipe = recipe_of(data.slug)
    existing = await _existing(ctx, recipe)
    values = {name: value.strip() for name, value in data.credential_values.items() if value.strip()}
    missing = [name for name in _names(recipe) if name not in existing and name not in values]
    if missing:
        text = f"Credentials are missing: {', '.join(missing)}"
        raise Refusal(Code.BAD_REQUEST, text, extra={"missing_credentials": missing})
    added = await _credentials(ctx, recipe, existing, values, data.account_labels)
    slug = await _free_slug(ctx, recipe.crew_slug)
    if slug is None:
        raise Refusal(Code.CONFLICT, NO_SLUG)
    await release_slug(ctx, slug)
    look: dict[str, Any] = {"icon": recipe.icon, "color": recipe.color}
    crew = Crew(name=recipe.name, slug=slug, created_by=ctx.user_id or None, **look)
    await ctx.insert(crew, conflict=SLUG_TAKEN)
    await ctx.insert_all(_servers(recipe, crew.id))
    ctx.audit("CREW", crew.id, name=crew.name, slug=slug, recipe=recipe.slug, credentials=added)
    return RecipeInstall(
        crew_id=crew.id,
        crew_slug=slug,
        credentials_added=added,
        credentials_reused=[name for name in _names(recipe) if name in existing],
        mcp_servers_added=[server.name for server in recipe.mcp_servers],
    )


def _names(recipe: ConnectorRecipe) -> list[str]:
    return [credential.env_var_name for credential in recipe.credentials]


async def _existing(ctx: Context, recipe: ConnectorRecipe) -> set[str]:
    named = ctx.select(Credential, col(Credential.name).in_(_names(recipe)), including_hidden=True)
    return {credential.name for credential in await named.all()}


async def _free_slug(ctx: Context, wanted: str) -> str | None:
    """The slug, or it with the first number that is free. A deleted crew's is."""
    tried = [wanted, *(f"{wanted}-{number}" for number in range(2, MOST_NUMBER + 1))]
    taken = await ctx.select(Crew, col(Crew.slug).in_(tried), including_hidden=True).all()
    held = {crew.slug for crew in taken}
    return next((slug for slug in tried if slug not in held), None)


async def _credentials(
    ctx: Context, recipe: ConnectorRecipe, existing: set[str], values: dict[str, str], labels: dict[str, str]
) -> list[str]:
    added = list[str]()
    for one in recipe.credentials:
        if one.env_var_name in existing:
            continue
        label = labels.get(one.env_var_name, "").strip() or one.label
        told: dict[str, Any] = {"type": one.type.value, "provider": one.provider, "account_label": label}
        made = CreateCredential(name=one.env_var_name, value=values[one.env_var_name], **told)
        await add_credential(ctx, made, administers=True)
        added.append(one.env_var_name)
    return added


def _servers(recipe: ConnectorRecipe, crew_id: str) -> list[CrewIntegration]:
    return [
        CrewIntegration(
            crew_id=crew_id,
            name=server.name,
            display_name=server.display_name,
            transport=server.transport,
            endpoint=server.endpoint or "",
            command=server.command or "",
            args_json=orjson.dumps(server.args or []).decode(),
            env_json=orjson.dumps(server.env_mapping or {}).decode(),
            icon=server.icon,
        )
        for server in recipe.mcp_servers
    ]
