"""The parts that a crew's container can be built with: data of this package, the same for everyone."""

import tomllib
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final

from resolvers.kernel import Absent, Action, Auth, Context, Input, Output, Tenancy, Text, procedure
from resolvers.kernel.ground.scopes import OPEN

REGISTRY: Final = "ghcr.io/devcontainers/features"


class CatalogCategory(StrEnum):
    """The category of a container tool."""

    languages = "languages"
    tools = "tools"
    cloud = "cloud"
    databases = "databases"


class PublisherTier(StrEnum):
    """The publisher of a feature."""

    official = "official"
    community = "community"
    third_party = "third-party"


class SearchCatalog(Input):
    """`search` is looked for in names, descriptions and categories, ignoring case."""

    search: Text = ""


class CatalogFeature(Output):
    """A devcontainer feature: `ref` goes into a crew's devcontainer configuration."""

    ref: str
    name: str
    description: str
    category: CatalogCategory
    icon: str
    size_hint: str
    publisher: str = "devcontainers"
    tier: PublisherTier = PublisherTier.official


class CatalogRuntime(Output):
    """A tool that mise installs: `tool` goes into a crew's mise configuration."""

    name: str
    tool: str
    description: Annotated[str | None, Absent()] = None
    category: CatalogCategory
    icon: str
    versions: Annotated[list[str] | None, Absent()] = None
    default_version: Annotated[str | None, Absent()] = None


class FeatureCatalog(Output):
    """Devcontainer features."""

    features: list[CatalogFeature]


class RuntimeCatalog(Output):
    """Tools by mise."""

    runtimes: list[CatalogRuntime]


@cache
def _read() -> dict[str, list[Any]]:
    read = tomllib.loads(files(__package__).joinpath("parts.toml").read_text(encoding="utf-8"))
    features = [CatalogFeature(**each) for each in read["features"]]
    return {"features": features, "runtimes": [CatalogRuntime(**each) for each in read["runtimes"]]}


def feature_ref(feature_id: str) -> str:
    """The reference of a feature: the one in the catalog, or its first version."""
    refs = [each.ref for each in _read()["features"]]
    return next(
        (ref for ref in refs if ref.rpartition("/")[2].partition(":")[0] == feature_id), f"{REGISTRY}/{feature_id}:1"
    )


def _found(kind: str, search: str, *fields: str) -> list[Any]:
    wanted = search.casefold()
    return [each for each in _read()[kind] if any(wanted in (getattr(each, f) or "").casefold() for f in fields)]


@procedure("features.catalog", Action.NONE, auth=Auth.USER, tenancy=Tenancy.NONE, scopes=OPEN)
async def list_features(ctx: Context, data: SearchCatalog) -> FeatureCatalog:
    """List devcontainer features.

    Lists the known ones; configurations may name others.
    """
    return FeatureCatalog(features=_found("features", data.search, "name", "description", "ref", "category"))


@procedure("runtimes.catalog", Action.NONE, auth=Auth.USER, tenancy=Tenancy.NONE, scopes=OPEN)
async def list_runtimes(ctx: Context, data: SearchCatalog) -> RuntimeCatalog:
    """List tools that mise installs.

    Lists the known ones; configurations may name others.
    """
    return RuntimeCatalog(runtimes=_found("runtimes", data.search, "name", "tool", "description", "category"))
