"""MCP servers for agents: servers of the workspace, of crews, and their bindings."""

from resolvers.kernel import Domain
from resolvers.resources.integrations.bindings import (
    create_agent_integration,
    delete_agent_integration,
    list_agent_integrations,
    list_resolved_integrations,
    update_agent_integration,
)
from resolvers.resources.integrations.crew_servers import (
    create_crew_integration,
    delete_crew_integration,
    list_crew_integrations,
    list_integrations_of_crews,
    update_crew_integration,
)
from resolvers.resources.integrations.resolution import ResolvedIntegration
from resolvers.resources.integrations.servers import IntegrationStatus
from resolvers.resources.integrations.testing import ServerTest, test_crew_integration, test_integration
from resolvers.resources.integrations.tools import ToolsRefreshed, list_tools, refresh_tools, update_tool
from resolvers.resources.integrations.workspace_servers import (
    create_integration,
    delete_integration,
    get_integration,
    list_integrations,
    update_integration,
)

DOMAIN = Domain("integrations", scopes="workspace")
