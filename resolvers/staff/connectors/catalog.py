"""The connectors that there are: data of this package, the same in every workspace."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Final

import orjson
from pydantic import ValidationError

from resolvers.kernel import Action, Code, Context, Input, NoInput, Refusal, Tenancy, Text, log, procedure
from resolvers.staff.connectors.manifest import Connector, ConnectorListItem

SUFFIX: Final = ".toml"
NOT_FOUND: Final = "Connector not found"


class ByConnector(Input):
    connector_id: Text


def read(folder: Traversable) -> Mapping[str, Connector]:
    """The manifests of a folder by id, which is the name of the file. One that is wrong is left out, and logged."""
    found = dict[str, Connector]()
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(SUFFIX):
            try:
                connector = manifest(file)
            except (ValidationError, ValueError) as error:
                log.warning("a connector's manifest was skipped", file=file.name, why=_why(error))
            else:
                found[connector.id] = connector
    return MappingProxyType(found)


def manifest(file: Traversable) -> Connector:
    """Raises ValueError, as pydantic and tomllib do, for one that is wrong."""
    values = {"id": file.name.removesuffix(SUFFIX)} | tomllib.loads(file.read_text(encoding="utf-8"))
    if f"{values['id']}{SUFFIX}" != file.name:
        raise ValueError("its id is not the name of the file")
    return Connector.model_validate_json(orjson.dumps(values), strict=True)


def _why(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))


@cache
def catalog() -> Mapping[str, Connector]:
    """Read on first use."""
    return read(files(__package__).joinpath("manifests"))


def connector_of(id: str) -> Connector:
    connector = catalog().get(id)
    if connector is None:
        raise Refusal(Code.NOT_FOUND, NOT_FOUND)
    return connector


@procedure("connectors.list", Action.NONE, tenancy=Tenancy.NONE)
async def list_connectors(ctx: Context, data: NoInput) -> list[ConnectorListItem]:
    """List connectors.

    Returns the whole catalog, sorted by id.
    """
    return [_listed(connector) for connector in catalog().values()]


@procedure("connectors.get", Action.NONE, tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND,))
async def get_connector(ctx: Context, data: ByConnector) -> Connector:
    """Get a connector.

    Returns its manifest: the form, and the MCP server that it configures.
    """
    return connector_of(data.connector_id)


def _listed(connector: Connector) -> ConnectorListItem:
    return ConnectorListItem(
        id=connector.id,
        name=connector.name,
        description=connector.description,
        category=connector.category,
        auth_mode=connector.auth_mode,
        brand_logo=connector.brand.logo,
        brand_color=connector.brand.color,
    )
