"""MCP servers of a crew: list, create, update, delete; and one list of the servers of all crews."""

from typing import Annotated

from sqlalchemy import select
from sqlmodel import col

from models.resources.credentials import AgentCredential, Credential, CredentialType
from models.resources.integrations import AgentIntegration, CrewIntegration, IntegrationScope, WorkspaceIntegration
from models.staff.crews import Crew
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Emptied,
    Id,
    Input,
    NoInput,
    QueryScope,
    Ref,
    Row,
    Rows,
    Subject,
    command,
    query,
)
from resolvers.resources.integrations.events import CrewIntegrationCreated, IntegrationDeleted, IntegrationUpdated
from resolvers.resources.integrations.graph import NEWEST_FIRST
from resolvers.resources.integrations.servers import (
    TAKEN,
    IntegrationStatus,
    ServerFields,
    ServerPatch,
    edit_server,
    new_server,
)

CREW = Subject(Crew, "crew_id")
CREW_SERVER = Subject(CrewIntegration, "integration_id", of=CREW, called="Integration")
BY_NAME = (col(CrewIntegration.name), col(CrewIntegration.id))
OF_OAUTH = "oauth"


class ServersOfCrew(Input):
    crew_id: Id


class OfCrewServer(ServersOfCrew):
    """An MCP server of a crew."""

    integration_id: Id


class CreateCrewIntegration(ServerFields, ServersOfCrew):
    """A server that is linked to a server of the workspace is deleted with it; nothing else is inherited."""

    workspace_mcp_server_id: Annotated[Emptied[Id], Ref(WorkspaceIntegration, called="Integration")] = None


class UpdateCrewIntegration(ServerPatch, OfCrewServer):
    """Null counts as absent."""


@query("crew_integrations.list", Action.READ, subject=CREW, tickets=False, scopes="crews")
def list_crew_integrations(scope: QueryScope, crew: Row[Crew], data: ServersOfCrew) -> Rows[CrewIntegration]:
    """List MCP servers of a crew.

    Newest first; ties by id, descending.
    """
    return scope.children(crew, CrewIntegration, "crew_id").order_by(*NEWEST_FIRST)


@query("integrations.crews_overview", Action.READ, tickets=False)
def list_integrations_of_crews(scope: QueryScope, data: NoInput) -> Rows[CrewIntegration]:
    """List MCP servers of all crews.

    Sorted by the crew's name, then by name.
    """
    crew = scope.table(Crew)
    name = select(crew.c.name).where(crew.c.id == col(CrewIntegration.crew_id)).scalar_subquery()
    return scope.select(CrewIntegration).where(name.is_not(None)).order_by(name, *BY_NAME)


@command(
    "crew_integrations.create",
    Action.CREATE,
    audit="crew_integration.created",
    subject=CREW,
    emits=CrewIntegrationCreated,
    errors=(Code.CONFLICT,),
    scopes="crews",
)
async def create_crew_integration(ctx: Context, crew: Crew, data: CreateCrewIntegration) -> CrewIntegration:
    """Add an MCP server to a crew.

    The name is unique in the crew. While enabled, the server replaces the workspace's server of the same name
    for agents of the crew.
    """
    server = CrewIntegration(**new_server(data))
    ctx.emit(CrewIntegrationCreated(id=server.id, name=server.name, scope="crew", crew_id=crew.id))
    return await ctx.insert(server, conflict=TAKEN)


@command(
    "crew_integrations.update",
    Action.MANAGE,
    audit="crew_integration.updated",
    subject=CREW_SERVER,
    emits=IntegrationUpdated,
    versioned=CrewIntegration,
    scopes="crews",
)
async def update_crew_integration(
    ctx: Context, server: CrewIntegration, data: UpdateCrewIntegration
) -> CrewIntegration:
    """Update an MCP server of a crew.

    Changing the scheme, host or port of the endpoint, or the command, unbinds all credentials.
    """
    ctx.emit(IntegrationUpdated(id=server.id, scope="crew", crew_id=server.crew_id))
    return await edit_server(ctx, server, data)


@command(
    "crew_integrations.delete",
    Action.MANAGE,
    audit="crew_integration.deleted",
    subject=CREW_SERVER,
    emits=IntegrationDeleted,
    versioned=CrewIntegration,
    scopes="crews",
)
async def delete_crew_integration(ctx: Context, server: CrewIntegration, data: OfCrewServer) -> IntegrationStatus:
    """Delete an MCP server of a crew.

    Also deletes its bindings, and a credential that was obtained for it by OAuth and is not used elsewhere.
    """
    await _forget(ctx, server)
    await ctx.delete(CrewIntegration, server.id)
    ctx.emit(IntegrationDeleted(id=server.id, scope="crew", crew_id=server.crew_id))
    return IntegrationStatus(status="deleted")


async def _forget(ctx: Context, server: CrewIntegration) -> None:
    here = (
        col(AgentIntegration.mcp_server_scope) == IntegrationScope.crew,
        col(AgentIntegration.mcp_server_id) == server.id,
    )
    bound = await ctx.select(AgentIntegration, *here).all()
    await ctx.delete_where(AgentIntegration, *here)
    named = {binding.credential_id for binding in bound if binding.credential_id is not None}
    if named:
        ties = await ctx.select(AgentIntegration, col(AgentIntegration.credential_id).in_(list(named))).all()
        given = await ctx.select(AgentCredential, col(AgentCredential.credential_id).in_(list(named))).all()
        named -= {tie.credential_id for tie in ties} | {tie.credential_id for tie in given}
    if named:
        got = (col(Credential.type) == CredentialType.OAUTH2, col(Credential.name).contains(OF_OAUTH))
        await ctx.delete_where(Credential, col(Credential.id).in_(list(named)), *got)
