"""MCP servers that agents can use: those of the workspace, those of crews, and who is bound to them."""

from resolvers.integrations.servers import IntegrationStatus
from resolvers.integrations.workspace_servers import (
    create_integration,
    delete_integration,
    get_integration,
    list_integrations,
    update_integration,
)

__all__ = [
    "IntegrationStatus", "create_integration", "delete_integration", "get_integration", "list_integrations",
    "update_integration",
]  # fmt: skip
