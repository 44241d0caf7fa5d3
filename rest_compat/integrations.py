"""REST: MCP servers of the workspace and of crews, their tools, and which agents are bound to them."""

from models.integrations import Transport, WorkspaceIntegration
from resolvers import integrations
from rest_compat.table import DELETE, GET, PATCH, POST, Wire


class WorkspaceIntegrationJSON(Wire, of=WorkspaceIntegration):
    """The `*_json` texts are as they were sent."""

    id: str
    workspace_id: str
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
    created_at: str
    updated_at: str
    agent_binding_count: int
    crew_server_count: int


ROUTES = (
    GET("/api/v1/integrations", integrations.list_integrations, list[WorkspaceIntegrationJSON]),
    POST("/api/v1/integrations", integrations.create_integration, WorkspaceIntegrationJSON, status=201),
    GET("/api/v1/integrations/{integrationId}", integrations.get_integration, WorkspaceIntegrationJSON),
    PATCH("/api/v1/integrations/{integrationId}", integrations.update_integration, WorkspaceIntegrationJSON),
    DELETE("/api/v1/integrations/{integrationId}", integrations.delete_integration, integrations.IntegrationStatus),
)
