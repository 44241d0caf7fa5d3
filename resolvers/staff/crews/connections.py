"""Connections: which crew may talk to which."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models.staff.crews import ConnectionDirection, Crew, CrewConnection
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Input,
    NoInput,
    QueryScope,
    Refusal,
    Rows,
    Text,
    command,
    graph,
    of_parent,
    one,
    query,
)
from resolvers.staff.crews.crews import NOT_FOUND

CONNECTED = "These crews are already connected"
CrewId = Annotated[Text, Field(min_length=1)]


def _direction(raw: Any) -> Any:
    return raw or ConnectionDirection.bidirectional


class CreateCrewConnection(Input):
    """A unidirectional connection lets `from_crew_id` reach `to_crew_id`; the reverse requires another connection."""

    from_crew_id: CrewId
    to_crew_id: CrewId
    direction: Annotated[ConnectionDirection, BeforeValidator(_direction)] = ConnectionDirection.bidirectional


graph(
    CrewConnection,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    from_crew=one(Crew, "from_crew_id"),
    to_crew=one(Crew, "to_crew_id"),
    from_crew_name=of_parent(Crew, "from_crew_id", "name"),
    from_crew_slug=of_parent(Crew, "from_crew_id", "slug"),
    to_crew_name=of_parent(Crew, "to_crew_id", "name"),
    to_crew_slug=of_parent(Crew, "to_crew_id", "slug"),
)


@query("crew_connections.list", Action.READ)
def list_connections(scope: QueryScope, data: NoInput) -> Rows[CrewConnection]:
    """List crew connections.

    Newest first, including connections of deleted crews.
    """
    return scope.select(CrewConnection).order_by(col(CrewConnection.created_at).desc())


@command(
    "crew_connections.create", Action.CREATE, audit="crew_connection.created", errors=(Code.NOT_FOUND, Code.CONFLICT)
)
async def create_connection(ctx: Context, data: CreateCrewConnection) -> CrewConnection:
    """Create a crew connection.

    Allows one crew to talk to another.
    """
    if data.from_crew_id == data.to_crew_id:
        raise Refusal(Code.BAD_REQUEST, "A crew cannot be connected to itself")
    if await ctx.select(Crew, col(Crew.id).in_([data.from_crew_id, data.to_crew_id])).count() < 2:
        raise Refusal(Code.NOT_FOUND, NOT_FOUND)
    return await ctx.insert(CrewConnection(**data.model_dump()), conflict=CONNECTED)


@command("crew_connections.delete", Action.CREATE, audit="crew_connection.deleted", errors=(Code.NOT_FOUND,))
async def delete_connection(ctx: Context, data: ById) -> Deleted:
    """Delete a crew connection (hard delete)."""
    connection = await ctx.delete(CrewConnection, data.id, missing="Connection not found")
    return Deleted(id=connection.id)
