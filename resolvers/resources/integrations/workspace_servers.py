"""MCP servers of a workspace: list, get, create, update, delete."""

from sqlmodel import col

from models.resources.integrations import CrewIntegration, WorkspaceIntegration
from resolvers.kernel import Action, ById, Code, Context, NoInput, QueryScope, Row, Rows, Subject, command, query
from resolvers.resources.integrations.events import IntegrationDeleted, IntegrationUpdated, WorkspaceIntegrationCreated
from resolvers.resources.integrations.servers import (
    TAKEN,
    IntegrationStatus,
    ServerFields,
    ServerPatch,
    edit_server,
    new_server,
)

SERVER = Subject(WorkspaceIntegration, "id", called="Integration")
NEWEST_FIRST = (col(WorkspaceIntegration.created_at).desc(), col(WorkspaceIntegration.id).desc())


class CreateIntegration(ServerFields):
    """The MCP server is for all agents of the workspace."""


class UpdateIntegration(ServerPatch, ById):
    """Null counts as absent."""


@query("integrations.list", Action.READ, tickets=False)
def list_integrations(scope: QueryScope, data: NoInput) -> Rows[WorkspaceIntegration]:
    """List MCP servers of the workspace.

    Newest first; ties by id, descending.
    """
    return scope.select(WorkspaceIntegration).order_by(*NEWEST_FIRST)


@query("integrations.get", Action.READ, subject=SERVER, tickets=False)
def get_integration(scope: QueryScope, server: Row[WorkspaceIntegration], data: ById) -> Row[WorkspaceIntegration]:
    """Get an MCP server of the workspace."""
    return server


@command(
    "integrations.create",
    Action.MANAGE,
    audit="workspace_integration.created",
    emits=WorkspaceIntegrationCreated,
    errors=(Code.CONFLICT,),
)
async def create_integration(ctx: Context, data: CreateIntegration) -> WorkspaceIntegration:
    """Add an MCP server to the workspace.

    The name is unique in the workspace. Private addresses are refused; names are resolved when the server is
    called.
    """
    server = WorkspaceIntegration(**new_server(data))
    ctx.emit(WorkspaceIntegrationCreated(id=server.id, name=server.name, scope="workspace"))
    return await ctx.insert(server, conflict=TAKEN)


@command(
    "integrations.update",
    Action.MANAGE,
    audit="workspace_integration.updated",
    subject=SERVER,
    emits=IntegrationUpdated,
    versioned=WorkspaceIntegration,
)
async def update_integration(
    ctx: Context, server: WorkspaceIntegration, data: UpdateIntegration
) -> WorkspaceIntegration:
    """Update an MCP server of the workspace.

    Changing the scheme, host or port of the endpoint, or the command, unbinds all credentials.
    """
    ctx.emit(IntegrationUpdated(id=server.id, scope="workspace"))
    return await edit_server(ctx, server, data)


@command(
    "integrations.delete",
    Action.MANAGE,
    audit="workspace_integration.deleted",
    subject=SERVER,
    emits=IntegrationDeleted,
    versioned=WorkspaceIntegration,
)
async def delete_integration(ctx: Context, server: WorkspaceIntegration, data: ById) -> IntegrationStatus:
    """Delete an MCP server of the workspace.

    Also deletes servers of crews that are linked to it, and the bindings of all of them.
    """
    await ctx.delete_where(CrewIntegration, col(CrewIntegration.workspace_mcp_server_id) == server.id)
    await ctx.delete(WorkspaceIntegration, server.id)
    ctx.emit(IntegrationDeleted(id=server.id, scope="workspace"))
    return IntegrationStatus(status="deleted")
