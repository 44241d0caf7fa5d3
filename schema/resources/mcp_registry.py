"""GraphQL: the MCP registry."""

from datetime import datetime

import strawberry

from models.resources.mcp_registry import McpRegistryServer
from resolvers.resources.mcp_registry import servers, syncing
from schema.bridge.fields import mutation, node, output, query


@node(McpRegistryServer)
class McpRegistryServerType:
    """An MCP server of the registry. `envVarsJson` is the text of a JSON list."""

    id: strawberry.ID
    name: str
    display_name: str
    description: str
    icon: str
    transport: str
    homepage_url: str
    source_url: str
    package_name: str
    package_registry: str
    command: str
    endpoint: str
    auth_type: str
    env_vars_json: str
    category: str
    is_verified: bool
    trust_tier: str
    is_featured: bool
    synced_at: datetime


@output(syncing.SyncStarted)
class McpRegistrySyncType:
    """The registry is being synchronised."""

    status: str
    message: str


@strawberry.type
class McpRegistryQuery:
    mcp_registry = query(servers.list_registry, McpRegistryServerType)
    search_mcp_registry = query(servers.search_registry, McpRegistryServerType)


@strawberry.type
class McpRegistryMutation:
    sync_mcp_registry = mutation(syncing.sync_registry, McpRegistrySyncType)
