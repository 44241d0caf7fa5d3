"""Events about the MCP servers of a workspace and of its crews."""

from typing import Annotated, Literal

from resolvers.kernel import Event
from resolvers.kernel.declarations.events import Distinct


class WorkspaceIntegrationCreated(Event, type="integration.created", channel="workspace:{workspace_id}"):
    """An MCP server was added for the whole workspace."""

    id: str
    name: str
    scope: Literal["workspace"]


class CrewIntegrationCreated(Event, type="integration.created", channel="workspace:{workspace_id}"):
    """An MCP server was added for one crew."""

    id: str
    name: str
    scope: Literal["crew"]
    crew_id: str


class IntegrationUpdated(Event, type="integration.updated", channel="workspace:{workspace_id}"):
    """An MCP server of the workspace or of a crew was updated; `crew_id` is present if the scope is crew."""

    id: str
    scope: Literal["workspace", "crew"]
    crew_id: Annotated[str | None, Distinct("integration_crew_id")] = None


class IntegrationDeleted(Event, type="integration.deleted", channel="workspace:{workspace_id}"):
    """An MCP server of the workspace or of a crew was removed; `crew_id` is present if the scope is crew."""

    id: str
    scope: Literal["workspace", "crew"]
    crew_id: Annotated[str | None, Distinct("integration_crew_id")] = None
