"""REST: MCP servers of the workspace and of crews, their tools, and which agents are bound to them."""

from typing import Annotated

from models.resources.integrations import (
    AgentIntegration,
    CredentialPlacement,
    CrewIntegration,
    ToolBinding,
    Transport,
    WorkspaceIntegration,
)
from resolvers.resources import integrations
from rest_compat.http.table import DELETE, GET, PATCH, POST, From, Wire


class ServerJSON(Wire):
    """The `*_json` texts are returned as sent."""

    name: str
    display_name: str
    transport: Transport
    endpoint: str | None
    command: str | None
    args_json: str | None
    env_json: str | None
    config_json: str | None
    icon: str | None
    enabled: bool


class KeptServerJSON(ServerJSON):
    id: str
    created_at: str
    updated_at: str
    agent_binding_count: int


class WorkspaceIntegrationJSON(KeptServerJSON, of=WorkspaceIntegration):
    """The `*_json` texts are returned as sent."""

    workspace_id: str
    crew_server_count: int


class CrewIntegrationJSON(KeptServerJSON, of=CrewIntegration):
    """`auth_status` is empty after a create or update; the lists contain it."""

    crew_id: str
    workspace_mcp_server_id: str | None
    auth_status: Annotated[str, From("unasked")]


class ListedCrewIntegrationJSON(CrewIntegrationJSON, of=CrewIntegration):
    """`auth_status` is connected, missing or expired, or `none` if the server needs no credential."""

    auth_status: str


class CrewIntegrationOverviewJSON(ListedCrewIntegrationJSON, of=CrewIntegration):
    """Includes its owner."""

    crew_name: str
    crew_slug: str


class ToolBindingJSON(Wire, of=ToolBinding):
    fields = "id tool_name description enabled created_at updated_at"


class AgentBindingJSON(Wire, of=AgentIntegration):
    fields = """
        id agent_id mcp_server_id mcp_server_scope credential_id cred_type cred_header enabled config_override_json
        created_at server_name server_display_name credential_name
    """
    cred_type: CredentialPlacement | None


class NewAgentBindingJSON(AgentBindingJSON, of=AgentIntegration):
    """Only the list returns the names."""

    server_name: Annotated[str, From("unasked")]
    server_display_name: Annotated[str, From("unasked")]
    credential_name: Annotated[str | None, From("untold")]


class ResolvedIntegrationJSON(ServerJSON, of=integrations.ResolvedIntegration):
    fields = "server_id scope credential_id credential_name"


OF_CREW = "/api/v1/crews/{crewId}/integrations"
OF_AGENT = "/api/v1/agents/{agentId}/integrations"
ROUTES = (
    GET("/api/v1/integrations", integrations.list_integrations, list[WorkspaceIntegrationJSON]),
    POST("/api/v1/integrations", integrations.create_integration, WorkspaceIntegrationJSON, status=201),
    GET("/api/v1/integrations/crews", integrations.list_integrations_of_crews, list[CrewIntegrationOverviewJSON]),
    GET("/api/v1/integrations/{integrationId}", integrations.get_integration, WorkspaceIntegrationJSON),
    PATCH("/api/v1/integrations/{integrationId}", integrations.update_integration, WorkspaceIntegrationJSON),
    DELETE("/api/v1/integrations/{integrationId}", integrations.delete_integration, integrations.IntegrationStatus),
    POST("/api/v1/integrations/{integrationId}/test", integrations.test_integration, integrations.ServerTest),
    POST(f"{OF_CREW}/{{integrationId}}/test", integrations.test_crew_integration, integrations.ServerTest),
    GET(OF_CREW, integrations.list_crew_integrations, list[ListedCrewIntegrationJSON]),
    POST(OF_CREW, integrations.create_crew_integration, CrewIntegrationJSON, status=201),
    PATCH(f"{OF_CREW}/{{integrationId}}", integrations.update_crew_integration, CrewIntegrationJSON),
    DELETE(f"{OF_CREW}/{{integrationId}}", integrations.delete_crew_integration, integrations.IntegrationStatus),
    GET(f"{OF_CREW}/{{integrationId}}/tools", integrations.list_tools, list[ToolBindingJSON]),
    PATCH(f"{OF_CREW}/{{integrationId}}/tools/{{toolName}}", integrations.update_tool, ToolBindingJSON),
    POST(f"{OF_CREW}/{{integrationId}}/tools/refresh", integrations.refresh_tools, integrations.ToolsRefreshed),
    GET(OF_AGENT, integrations.list_agent_integrations, list[AgentBindingJSON]),
    POST(OF_AGENT, integrations.create_agent_integration, NewAgentBindingJSON, status=201),
    GET(f"{OF_AGENT}/resolved", integrations.list_resolved_integrations, list[ResolvedIntegrationJSON]),
    PATCH(f"{OF_AGENT}/{{integrationId}}", integrations.update_agent_integration, integrations.IntegrationStatus),
    DELETE(f"{OF_AGENT}/{{integrationId}}", integrations.delete_agent_integration, integrations.IntegrationStatus),
)
