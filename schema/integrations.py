"""GraphQL: MCP servers of the workspace and of crews, their tools, and which agents are bound to them."""

from datetime import datetime

import strawberry

from models.integrations import (
    AgentIntegration,
    CredentialPlacement,
    CrewIntegration,
    IntegrationScope,
    ToolBinding,
    Transport,
    WorkspaceIntegration,
)
from resolvers import integrations as integration_ops
from schema.bridge import Edge, Edges, mutation, node, output, query

for choices in (CredentialPlacement, IntegrationScope, Transport):
    strawberry.enum(choices)


@node(WorkspaceIntegration)
class WorkspaceIntegrationType:
    """An MCP server for all agents of the workspace. The `*Json` texts are as they were sent."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    name: str = strawberry.field(description="Unique in the workspace.")
    display_name: str
    transport: Transport
    endpoint: str | None
    command: str | None
    args_json: str | None
    env_json: str | None
    config_json: str | None
    icon: str | None
    enabled: bool
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    agent_binding_count: int
    crew_server_count: int
    crew_integrations: Edges = strawberry.field(description="Servers of crews that are linked to it.")


@node(CrewIntegration)
class CrewIntegrationType:
    """An MCP server for the agents of a crew; it takes the place of one of the same name of the workspace."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    crew: Edge | None
    workspace_mcp_server_id: strawberry.ID | None
    workspace_integration: Edge | None = strawberry.field(description="That it is linked to: deleted with it.")
    name: str = strawberry.field(description="Unique in the crew.")
    display_name: str
    transport: Transport
    endpoint: str | None
    command: str | None
    args_json: str | None
    env_json: str | None
    config_json: str | None
    icon: str | None
    enabled: bool
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    agent_binding_count: int
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


@output(integration_ops.IntegrationStatus)
class IntegrationStatusType:
    """What has become of it: `deleted`, `updated`."""

    status: str


@strawberry.type
class IntegrationQuery:
    integrations = query(integration_ops.list_integrations, WorkspaceIntegrationType)
    integration = query(integration_ops.get_integration, WorkspaceIntegrationType)


@strawberry.type
class IntegrationMutation:
    create_integration = mutation(integration_ops.create_integration, WorkspaceIntegrationType)
    update_integration = mutation(integration_ops.update_integration, WorkspaceIntegrationType)
    delete_integration = mutation(integration_ops.delete_integration, IntegrationStatusType)
