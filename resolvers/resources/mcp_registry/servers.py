"""The mirrored servers: listed and searched. They are everybody's to read."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from sqlalchemy import case, or_
from sqlmodel import col

from models.resources.mcp_registry import McpRegistryServer, TrustTier
from resolvers.kernel import (
    EVERYONE,
    Action,
    Filter,
    Page,
    Paging,
    QueryScope,
    Tenancy,
    Text,
    contains,
    graph,
    query,
)

IN_ORDER = (col(McpRegistryServer.place), col(McpRegistryServer.name), col(McpRegistryServer.id))
SEARCHED = (
    McpRegistryServer.name,
    McpRegistryServer.description,
    McpRegistryServer.category,
    McpRegistryServer.display_name,
)


def _flag(raw: Any) -> Any:
    flags = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(raw, str) and raw not in flags:
        raise PydanticCustomError("flag", "takes true, false, 1 or 0")
    return flags.get(raw, raw) if isinstance(raw, str) else raw


Featured = Annotated[bool, BeforeValidator(_flag)]
NOT_BLANK = BeforeValidator(lambda raw: raw.strip() or None if isinstance(raw, str) else raw)

graph(McpRegistryServer, gate=Action.NONE, scope=None, visible=EVERYONE)


class ListRegistry(Paging):
    """50 servers by default, at most 200. `featured`: true or 1, false or 0."""

    page_default: ClassVar[int] = 50
    page_maximum: ClassVar[int] = 200

    trust_tier: Annotated[TrustTier | None, Filter(McpRegistryServer.trust_tier)] = None
    featured: Annotated[Featured | None, Filter(McpRegistryServer.is_featured)] = None


class SearchRegistry(ListRegistry):
    """`q` is found in name, display name, description and category, ASCII letters in either case. A blank one finds
    all.
    """

    q: Annotated[Text | None, NOT_BLANK] = None


@query("mcp_registry.list", Action.NONE, tenancy=Tenancy.NONE)
def list_registry(scope: QueryScope, data: ListRegistry) -> Page[McpRegistryServer]:
    """List the servers of the MCP registry.

    Featured servers first, then sorted by name. Empty until the first synchronisation.
    """
    return scope.select(McpRegistryServer).matching(data).order_by(*IN_ORDER).page(data)


@query("mcp_registry.search", Action.NONE, tenancy=Tenancy.NONE)
def search_registry(scope: QueryScope, data: SearchRegistry) -> Page[McpRegistryServer]:
    """Search the MCP registry.

    Featured servers first, then matches in the name, then sorted by name.
    """
    rows = scope.select(McpRegistryServer).matching(data)
    if data.q is None:
        return rows.order_by(*IN_ORDER).page(data)
    by_place, *by_name = IN_ORDER
    rows = rows.where(or_(*[contains(column)(data.q) for column in SEARCHED]))
    return rows.order_by(by_place, _named_first(data.q), *by_name).page(data)


def _named_first(search: Any) -> Any:
    return case((contains(McpRegistryServer.name)(search), 0), else_=1)
