"""GraphQL: MCP servers of the workspace and of crews, their tools, and which agents are bound to them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.resources.integrations import (
    AgentIntegration,
    CredentialPlacement,
    CrewIntegration,
    ToolBinding,
    WorkspaceIntegration,
)
from resolvers.resources import integrations as integration_ops
from schema.bridge.fields import Edges, mutation, node, output, query

output(integration_ops.ServerTest, name="IntegrationTest", fields={"server_info": JSON | None})


class ServerFields:
    """The common fields of MCP servers."""

    name: str
    display_name: str
    transport: str = strawberry.field(description="streamable-http or stdio.")
    endpoint: str | None
    command: str | None
    args_json: str | None
    env_json: str | None
    config_json: str | None
    icon: str | None


class KeptServerFields(ServerFields):
    """The fields of stored servers."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    enabled: bool
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    agent_binding_count: int


@node(WorkspaceIntegration)
class WorkspaceIntegrationType(KeptServerFields):
    """An MCP server for all agents of the workspace. The `*Json` texts are returned as sent."""

    name: str = strawberry.field(description="Unique in the workspace.")
    crew_server_count: int
    crew_integrations: Edges = strawberry.field(description="Linked servers of crews.")


@node(CrewIntegration)
class CrewIntegrationType(KeptServerFields):
    """An MCP server for the agents of a crew; it replaces the workspace's server of the same name."""

    fields = "crew_id crew workspace_mcp_server_id workspace_integration name auth_status tools"
    workspace_integration = strawberry.field(
        description=("The linked server of the workspace: this server is deleted with it.")
    )
    name = strawberry.field(description="Unique in the crew.")
    auth_status = strawberry.field(
        description=("connected, missing, expired, or none if the server needs no credential.")
    )
    tools = strawberry.field(description="The known tools; unknown tools count as enabled.")


@node(ToolBinding, name="IntegrationTool")
class ToolBindingType:
    """A tool of a crew's MCP server, and whether agents may call it."""

    fields = "id tool_name description enabled created_at updated_at crew_integration"


@node(AgentIntegration)
class AgentIntegrationType:
    """A binding of an agent to an MCP server, with the credential that is sent to the server."""

    fields = """
        id agent_id agent mcp_server_id mcp_server_scope server_name server_display_name workspace_integration
        crew_integration credential_id credential_name credential cred_type cred_header env_var_name enabled
        config_override_json created_at version
    """
    cred_type: CredentialPlacement | None
    cred_header = strawberry.field(description="The header for an `api_key`.")
    env_var_name = strawberry.field(description="The environment variable of a stdio server.")
    enabled = strawberry.field(description="If false, the agent cannot use the server.")


@node(integration_ops.ResolvedIntegration)
class ResolvedIntegrationType(ServerFields):
    """An MCP server as the agent uses it, including its binding."""

    fields = "server_id scope enabled credential_id credential_name crew_integration"
    enabled = strawberry.field(description="Always true.")
    credential_name = strawberry.field(description="Null if the caller cannot see it.")
    crew_integration = strawberry.field(description="The crew's server with its tools.")


@strawberry.type
class IntegrationQuery:
    integrations = query(integration_ops.list_integrations, WorkspaceIntegrationType)
    integration = query(integration_ops.get_integration, WorkspaceIntegrationType)
    integration_test = query(integration_ops.test_integration)
    crew_integration_test = query(integration_ops.test_crew_integration)
    integrations_of_crews = query(integration_ops.list_integrations_of_crews, CrewIntegrationType)
    crew_integrations = query(integration_ops.list_crew_integrations, CrewIntegrationType)
    integration_tools = query(integration_ops.list_tools, ToolBindingType)
    agent_integrations = query(integration_ops.list_agent_integrations, AgentIntegrationType)
    resolved_integrations = query(integration_ops.list_resolved_integrations, ResolvedIntegrationType)


@strawberry.type
class IntegrationMutation:
    create_integration = mutation(integration_ops.create_integration, WorkspaceIntegrationType)
    update_integration = mutation(integration_ops.update_integration, WorkspaceIntegrationType)
    delete_integration = mutation(integration_ops.delete_integration)
    create_crew_integration = mutation(integration_ops.create_crew_integration, CrewIntegrationType)
    update_crew_integration = mutation(integration_ops.update_crew_integration, CrewIntegrationType)
    delete_crew_integration = mutation(integration_ops.delete_crew_integration)
    update_integration_tool = mutation(integration_ops.update_tool, ToolBindingType)
    refresh_integration_tools = mutation(integration_ops.refresh_tools)
    create_agent_integration = mutation(integration_ops.create_agent_integration, AgentIntegrationType)
    update_agent_integration = mutation(integration_ops.update_agent_integration)
    delete_agent_integration = mutation(integration_ops.delete_agent_integration)
