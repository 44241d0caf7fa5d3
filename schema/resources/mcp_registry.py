"""GraphQL: the MCP registry."""

import strawberry

from models.resources.mcp_registry import McpRegistryServer
from resolvers.resources.mcp_registry import servers, syncing
from schema.bridge.fields import mutation, node, query


@node(McpRegistryServer)
class McpRegistryServerType:
    """An MCP server of the registry. `envVarsJson` is the text of a JSON list."""

    fields = """
        id name display_name description icon transport homepage_url source_url package_name package_registry command
        endpoint auth_type env_vars_json category is_verified trust_tier is_featured synced_at
    """
    trust_tier: str


@strawberry.type
class McpRegistryQuery:
    mcp_registry = query(servers.list_registry, McpRegistryServerType)
    search_mcp_registry = query(servers.search_registry, McpRegistryServerType)


@strawberry.type
class McpRegistryMutation:
    sync_mcp_registry = mutation(syncing.sync_registry)
