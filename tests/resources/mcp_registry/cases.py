"""Cases of the MCP registry, for the tests that are made for every operation."""

from models.resources.mcp_registry import McpRegistryServer
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def mcp_registry_server(plot: Plot) -> McpRegistryServer:
    """Of another name in every workspace: it is one of the instance."""
    name = f"harbour/charts-{plot.workspace.id[-6:]}"
    return McpRegistryServer(
        id=name,
        name=name,
        display_name="Charts",
        description="Charts of the sea.",
        icon="map",
        transport="stdio",
        homepage_url="https://example.com",
        source_url="https://github.com/harbour/charts",
        package_name="@harbour/charts",
        package_registry="npm",
        command="npx",
        endpoint="https://mcp.example.com",
        auth_type="header",
        env_vars_json='[{"name":"TOKEN","description":"","isRequired":true,"isSecret":true}]',
        category="maps",
        is_verified=True,
        synced_at=now(),
    )


RECIPES = {"mcp_registry.search": Recipe({"q": "charts"})}
