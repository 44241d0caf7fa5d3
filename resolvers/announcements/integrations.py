"""MCP servers of workspaces and crews, and credentials that have run out."""

from typing import Literal

from resolvers.kernel import Event


class WorkspaceIntegrationCreated(Event, type="integration.created", channel="workspace:{workspace_id}", planned=True):
    """An MCP server was added for the whole workspace."""

    id: str
    name: str
    scope: Literal["workspace"]


class CrewIntegrationCreated(Event, type="integration.created", channel="workspace:{workspace_id}", planned=True):
    """An MCP server was added for one crew."""

    id: str
    name: str
    scope: Literal["crew"]
    crew_id: str


class IntegrationUpdated(Event, type="integration.updated", channel="workspace:{workspace_id}", planned=True):
    """An MCP server of the workspace or of a crew was updated; `crew_id` is present if the scope is crew."""

    id: str
    scope: Literal["workspace", "crew"]
    crew_id: str | None = None


class IntegrationDeleted(Event, type="integration.deleted", channel="workspace:{workspace_id}", planned=True):
    """An MCP server of the workspace or of a crew was removed; `crew_id` is present if the scope is crew."""

    id: str
    scope: Literal["workspace", "crew"]
    crew_id: str | None = None


class CredentialExpired(Event, type="credential.expired", channel="workspace:{workspace_id}", planned=True):
    """The provider refused to renew an OAuth credential: a user has to connect it again."""

    credential_id: str
    reason: str
