"""REST: the MCP registry."""

from typing import Annotated

from pydantic import Field

from models.resources.mcp_registry import McpRegistryServer
from resolvers.kernel import Absent
from resolvers.resources.mcp_registry import servers, syncing
from rest_compat.http.envelopes import TOTAL, Envelope, FromInput
from rest_compat.http.table import GET, POST, Wire

BASE = "/api/v1/mcp-registry"


class McpRegistryServerJSON(Wire, of=McpRegistryServer):
    """`env_vars_json` is the text of a JSON list of name, description, isRequired and isSecret."""

    fields = """
        id name display_name description icon transport homepage_url source_url package_name package_registry command
        endpoint auth_type env_vars_json category is_verified trust_tier is_featured synced_at
    """


class McpRegistryListJSON(Envelope):
    servers: list[McpRegistryServerJSON]
    total: Annotated[int, TOTAL]
    limit: Annotated[int, FromInput()]
    offset: Annotated[int, FromInput()]


class McpRegistrySearchJSON(McpRegistryListJSON):
    """`query` is absent without a search."""

    q: Annotated[str | None, FromInput(), Absent()] = Field(alias="query")


ROUTES = (
    GET(BASE, servers.list_registry, McpRegistryListJSON),
    GET(f"{BASE}/search", servers.search_registry, McpRegistrySearchJSON),
    POST(f"{BASE}/sync", syncing.sync_registry, syncing.SyncStarted, status=202),
)
