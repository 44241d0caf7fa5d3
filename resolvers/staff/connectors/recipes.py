"""Recipes: a crew with the services that it works with, made in one step. Data of this package."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Final

import orjson
from pydantic import Field, TypeAdapter

from models.resources.credentials import CredentialType
from models.resources.integrations import Transport
from resolvers.kernel import Absent, Action, Code, Context, Input, NoInput, Output, Refusal, Tenancy, Text, procedure

NOT_FOUND: Final = "Recipe not found"


class RecipeCredential(Output):
    """A credential that the crew needs: it is named like its variable."""

    env_var_name: str
    provider: str
    type: CredentialType
    label: str
    help_url: Annotated[str | None, Absent()] = None


class RecipeServer(Output):
    """An MCP server of the crew. `env_mapping`: variable of the server -> name of the credential."""

    name: str
    display_name: str
    transport: Transport
    command: Annotated[str | None, Absent()] = None
    args: Annotated[list[str] | None, Absent()] = None
    endpoint: Annotated[str | None, Absent()] = None
    env_mapping: Annotated[dict[str, str] | None, Absent()] = None
    icon: Annotated[str | None, Absent()] = None


class ConnectorRecipe(Output):
    """A template of a crew with its required credentials and MCP servers."""

    slug: str
    name: str
    description: str
    icon: str
    color: str
    crew_slug: str
    credentials: Annotated[list[RecipeCredential], Field(min_length=1)]
    mcp_servers: Annotated[list[RecipeServer], Field(min_length=1)]


class ByRecipe(Input):
    slug: Text


@cache
def recipes() -> Mapping[str, ConnectorRecipe]:
    """All recipes by slug, in the order of the list. Read on first use."""
    listed = tomllib.loads(files(__package__).joinpath("recipes.toml").read_text(encoding="utf-8"))["recipes"]
    made = TypeAdapter(list[ConnectorRecipe]).validate_json(orjson.dumps(listed), strict=True)
    return MappingProxyType({recipe.slug: recipe for recipe in made})


def recipe_of(slug: str) -> ConnectorRecipe:
    recipe = recipes().get(slug)
    if recipe is None:
        raise Refusal(Code.NOT_FOUND, NOT_FOUND)
    return recipe


@procedure("recipes.list", Action.NONE, tenancy=Tenancy.NONE)
async def list_recipes(ctx: Context, data: NoInput) -> list[ConnectorRecipe]:
    """List recipes.

    Lists templates that create a crew with its credentials and MCP servers in one step.
    """
    return list(recipes().values())


@procedure("recipes.get", Action.NONE, tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND,))
async def get_recipe(ctx: Context, data: ByRecipe) -> ConnectorRecipe:
    """Get a recipe."""
    return recipe_of(data.slug)
