"""Agents bound to MCP servers: which server gets which credential, and who may not use one."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models import bounds
from models.resources.credentials import Credential
from models.resources.integrations import (
    AgentIntegration,
    CredentialPlacement,
    CrewIntegration,
    IntegrationScope,
    WorkspaceIntegration,
)
from models.staff.agents import Agent
from resolvers.kernel import (
    Action,
    Bool,
    Code,
    ConfigText,
    Context,
    Emptied,
    Id,
    Input,
    Patch,
    QueryScope,
    Ref,
    Row,
    Rows,
    Subject,
    command,
    query,
)
from resolvers.resources.integrations.resolution import ResolvedIntegration, resolved_of
from resolvers.resources.integrations.servers import IntegrationStatus, fault

AGENT = Subject(Agent, "agent_id")
BINDING = Subject(AgentIntegration, "integration_id", of=AGENT, called="Agent binding")
NEWEST_FIRST = (col(AgentIntegration.created_at).desc(), col(AgentIntegration.id).desc())
TAKEN = "Agent already has a binding for this integration"
HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]*$"
VARIABLE = r"^([A-Za-z_][A-Za-z0-9_]*)?$"
HeaderName = Annotated[str, Field(strict=True, max_length=bounds.LINE, pattern=HEADER)]
VariableName = Annotated[str, Field(strict=True, max_length=bounds.CREDENTIAL, pattern=VARIABLE)]
Placement = Annotated[
    CredentialPlacement, BeforeValidator(lambda raw: CredentialPlacement.bearer if raw == "" else raw)
]
SERVERS: dict[IntegrationScope, Any] = {
    IntegrationScope.workspace: WorkspaceIntegration,
    IntegrationScope.crew: CrewIntegration,
}


class BindingsOfAgent(Input):
    agent_id: Id


class OfBinding(BindingsOfAgent):
    """`integration_id` is the id of the binding."""

    integration_id: Id


class BindAgent(BindingsOfAgent):
    """`cred_type` determines how the credential is sent: `bearer` and `basic` in Authorization, `api_key` in
    `cred_header`. A stdio server gets it in `env_var_name`. The server may belong to another crew.
    """

    mcp_server_id: Annotated[Id, Field(min_length=1)]
    mcp_server_scope: IntegrationScope
    credential_id: Annotated[Emptied[Id], Ref(Credential)] = None
    cred_type: Placement = CredentialPlacement.bearer
    cred_header: HeaderName | None = None
    env_var_name: VariableName | None = None
    enabled: Bool = True
    config_override_json: ConfigText | None = None


class UpdateBinding(Patch, OfBinding):
    """An empty text clears `credential_id` and `env_var_name`."""

    credential_id: Annotated[Id, Ref(Credential, or_empty=True)]
    cred_type: CredentialPlacement
    cred_header: HeaderName
    env_var_name: VariableName
    enabled: Bool
    config_override_json: ConfigText


@query("agent_integrations.list", Action.READ, subject=AGENT, tickets=False, scopes="agents")
def list_agent_integrations(scope: QueryScope, agent: Row[Agent], data: BindingsOfAgent) -> Rows[AgentIntegration]:
    """List bindings of an agent to MCP servers.

    Newest first; ties by id, descending.
    """
    return scope.children(agent, AgentIntegration, "agent_id").order_by(*NEWEST_FIRST)


@query("agent_integrations.resolved", Action.READ, subject=AGENT, tickets=False, scopes="agents")
def list_resolved_integrations(
    scope: QueryScope, agent: Row[Agent], data: BindingsOfAgent
) -> Rows[ResolvedIntegration]:
    """List MCP servers that an agent can use.

    Sorted by name. An enabled server of the crew replaces the workspace's server of the same name. A server with
    bindings is available only to bound agents; a disabled binding excludes the agent.
    """
    return scope.view(ResolvedIntegration, resolved_of(scope.id_of(agent), scope, scope)).order_by("name")


async def _held(ctx: Context, scope: IntegrationScope, server_id: str) -> Any:
    """The server, where there is one: it does not move while a credential is bound to it."""
    model = SERVERS[scope]
    return await ctx.select(model, col(model.id) == server_id).locked().first()


@command(
    "agent_integrations.create",
    Action.CREATE,
    audit="agent_integration.created",
    subject=AGENT,
    errors=(Code.CONFLICT,),
    scopes="agents",
)
async def create_agent_integration(ctx: Context, agent: Agent, data: BindAgent) -> AgentIntegration:
    """Add a binding of an agent to an MCP server.

    Afterwards, only bound agents can use the server.
    """
    if await _held(ctx, data.mcp_server_scope, data.mcp_server_id) is None:
        raise fault("mcp_server_id", f"names no existing integration of a {data.mcp_server_scope}")
    values = data.model_dump() | {"env_var_name": data.env_var_name or None}
    return await ctx.insert(AgentIntegration(**values), conflict=TAKEN)


@command(
    "agent_integrations.update",
    Action.CREATE,
    audit="agent_integration.updated",
    subject=BINDING,
    versioned=AgentIntegration,
    scopes="agents",
)
async def update_agent_integration(ctx: Context, binding: AgentIntegration, data: UpdateBinding) -> IntegrationStatus:
    """Update a binding of an agent to an MCP server."""
    changes = data.something()
    if changes.get("credential_id"):
        await _held(ctx, binding.mcp_server_scope, binding.mcp_server_id)
    cleared = {name: None for name in ("credential_id", "env_var_name") if changes.get(name) == ""}
    await ctx.edit(binding, **(changes | cleared))
    return IntegrationStatus(status="updated")


@command(
    "agent_integrations.delete",
    Action.CREATE,
    audit="agent_integration.deleted",
    subject=BINDING,
    versioned=AgentIntegration,
    scopes="agents",
)
async def delete_agent_integration(ctx: Context, binding: AgentIntegration, data: OfBinding) -> IntegrationStatus:
    """Remove a binding of an agent to an MCP server.

    A server without bindings is available to all agents.
    """
    await ctx.delete(AgentIntegration, binding.id)
    return IntegrationStatus(status="deleted")
