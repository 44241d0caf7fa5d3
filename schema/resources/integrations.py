"""GraphQL: MCP servers of the workspace and of crews, their tools, and which agents are bound to them."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.resources.integrations import (
    AgentIntegration,
    CredentialPlacement,
    CrewIntegration,
    IntegrationScope,
    ToolBinding,
    WorkspaceIntegration,
)
from resolvers.resources import integrations as integration_ops
from schema.bridge.fields import Edge, Edges, mutation, node, output, query


class ServerFields:
    """What an MCP server is, whoever's it is."""

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
    """What is known of one that is kept."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    enabled: bool
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    agent_binding_count: int


@node(WorkspaceIntegration)
class WorkspaceIntegrationType(KeptServerFields):
    """An MCP server for all agents of the workspace. The `*Json` texts are as they were sent."""

    name: str = strawberry.field(description="Unique in the workspace.")
    crew_server_count: int
    crew_integrations: Edges = strawberry.field(description="Servers of crews that are linked to it.")


@node(CrewIntegration)
class CrewIntegrationType(KeptServerFields):
    """An MCP server for the agents of a crew; it takes the place of one of the same name of the workspace."""

    crew_id: strawberry.ID
    crew: Edge | None
    workspace_mcp_server_id: strawberry.ID | None
    workspace_integration: Edge | None = strawberry.field(description="That it is linked to: deleted with it.")
    name: str = strawberry.field(description="Unique in the crew.")
    auth_status: str = strawberry.field(description="connected, missing, expired, or none where none is needed.")
    tools: Edges = strawberry.field(description="Those that are known; one that is not counts as switched on.")


@node(ToolBinding, name="IntegrationTool")
class ToolBindingType:
    """A tool of a crew's MCP server, and whether agents may call it."""

    id: strawberry.ID
    tool_name: str
    description: str | None
    enabled: bool
    created_at: datetime
    updated_at: datetime
    crew_integration: Edge | None


@node(AgentIntegration)
class AgentIntegrationType:
    """An agent bound to an MCP server, and the credential that the server gets from it."""

    id: strawberry.ID
    agent_id: strawberry.ID
    agent: Edge | None
    mcp_server_id: strawberry.ID
    mcp_server_scope: IntegrationScope
    server_name: str
    server_display_name: str
    workspace_integration: Edge | None
    crew_integration: Edge | None
    credential_id: strawberry.ID | None
    credential_name: str | None
    credential: Edge | None
    cred_type: CredentialPlacement | None
    cred_header: str | None = strawberry.field(description="The header of an `api_key`.")
    env_var_name: str | None = strawberry.field(description="The variable of a server behind stdio.")
    enabled: bool = strawberry.field(description="Of a binding that is not, the agent cannot use the server.")
    config_override_json: str | None
    created_at: datetime
    version: int


@node(integration_ops.ResolvedIntegration)
class ResolvedIntegrationType(ServerFields):
    """An MCP server as an agent has it, after its binding was taken into account."""

    server_id: strawberry.ID
    scope: IntegrationScope
    enabled: bool = strawberry.field(description="Always true.")
    credential_id: strawberry.ID | None
    credential_name: str | None = strawberry.field(description="Null for one that the caller does not see.")
    crew_integration: Edge | None = strawberry.field(description="Of a crew's server; it has the tools.")


@output(integration_ops.ServerTest, name="IntegrationTest")
class ServerTestType:
    """`status` is ok, error, auth_required or skipped; `serverInfo` what the server has said of itself."""

    status: str
    message: str | None
    server_info: JSON | None


@output(integration_ops.ToolsRefreshed)
class ToolsRefreshedType:
    """`created` are new, `updated` were known, `total` were sent."""

    created: int
    updated: int
    total: int


@output(integration_ops.IntegrationStatus)
class IntegrationStatusType:
    """The outcome: `deleted` or `updated`."""

    status: str


@strawberry.type
class IntegrationQuery:
    integrations = query(integration_ops.list_integrations, WorkspaceIntegrationType)
    integration = query(integration_ops.get_integration, WorkspaceIntegrationType)
    integration_test = query(integration_ops.test_integration, ServerTestType)
    crew_integration_test = query(integration_ops.test_crew_integration, ServerTestType)
    integrations_of_crews = query(integration_ops.list_integrations_of_crews, CrewIntegrationType)
    crew_integrations = query(integration_ops.list_crew_integrations, CrewIntegrationType)
    integration_tools = query(integration_ops.list_tools, ToolBindingType)
    agent_integrations = query(integration_ops.list_agent_integrations, AgentIntegrationType)
    resolved_integrations = query(integration_ops.list_resolved_integrations, ResolvedIntegrationType)


@strawberry.type
class IntegrationMutation:
    create_integration = mutation(integration_ops.create_integration, WorkspaceIntegrationType)
    update_integration = mutation(integration_ops.update_integration, WorkspaceIntegrationType)
    delete_integration = mutation(integration_ops.delete_integration, IntegrationStatusType)
    create_crew_integration = mutation(integration_ops.create_crew_integration, CrewIntegrationType)
    update_crew_integration = mutation(integration_ops.update_crew_integration, CrewIntegrationType)
    delete_crew_integration = mutation(integration_ops.delete_crew_integration, IntegrationStatusType)
    update_integration_tool = mutation(integration_ops.update_tool, ToolBindingType)
    refresh_integration_tools = mutation(integration_ops.refresh_tools, ToolsRefreshedType)
    create_agent_integration = mutation(integration_ops.create_agent_integration, AgentIntegrationType)
    update_agent_integration = mutation(integration_ops.update_agent_integration, IntegrationStatusType)
    delete_agent_integration = mutation(integration_ops.delete_agent_integration, IntegrationStatusType)
