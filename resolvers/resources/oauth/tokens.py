"""Received tokens: their storage, and the MCP servers that they are for."""

from datetime import UTC, datetime
from typing import Any, Final

from sqlmodel import col

from models.resources.credentials import Credential, CredentialStatus
from models.resources.integrations import (
    AgentIntegration,
    CredentialPlacement,
    CrewIntegration,
    IntegrationScope,
    WorkspaceIntegration,
)
from models.resources.oauth import OAuthState
from models.staff.agents import Agent
from resolvers.kernel import Context
from resolvers.resources.credentials.vault import sealed
from resolvers.resources.oauth.client import Tokens
from resolvers.rules.mcp_endpoint import origin

MARK: Final = "-oauth"
MOST_SERVERS, MOST_AGENTS = 100, 1_000


async def kept(ctx: Context, credential: Credential, tokens: Tokens, now: datetime) -> dict[str, Any]:
    """The columns of a credential that has been connected, or renewed. A refresh token that is not replaced stays."""
    ends = None if tokens.lasts is None else now + tokens.lasts
    changes: dict[str, Any] = {
        "value": await sealed(ctx, credential.id, "value", tokens.access),
        "status": CredentialStatus.ACTIVE,
        "last_error": None,
        "oauth_expires_at": ends,
        "token_expires_at": None if ends is None else ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if tokens.refresh is not None:
        changes["refresh_token"] = await sealed(ctx, credential.id, "refresh_token", tokens.refresh)
    return changes


async def store(ctx: Context, credential: Credential, tokens: Tokens) -> None:
    """Stores the tokens, and ends other pending consents for the credential."""
    await ctx.delete_where(OAuthState, col(OAuthState.credential_id) == credential.id)
    await ctx.update(Credential, credential.id, **await kept(ctx, credential, tokens, await ctx.now()))
    ctx.audit("CREDENTIAL", credential.id, name=credential.name)


async def bind(ctx: Context, credential: Credential) -> None:
    """Binds the credential to the MCP servers that it was connected for: those whose name is the credential's up to
    "-oauth".

    A server at another address than the one the token was requested for gets no credential, regardless of its name.
    """
    name, mark, _ = credential.name.partition(MARK)
    if not mark or not name:
        return
    whole = await ctx.select(WorkspaceIntegration, col(WorkspaceIntegration.name) == name).limit(MOST_SERVERS).all()
    of_crews = await ctx.select(CrewIntegration, col(CrewIntegration.name) == name).limit(MOST_SERVERS).all()
    servers: list[WorkspaceIntegration | CrewIntegration] = [*whole, *of_crews]
    for server in servers:
        if _is_for(credential, server.endpoint):
            await _give(ctx, credential, server)


def _is_for(credential: Credential, endpoint: str | None) -> bool:
    if credential.oauth_resource is None:
        return True
    asked = origin(credential.oauth_resource)
    return asked is not None and asked == origin(endpoint or "")


async def _give(ctx: Context, credential: Credential, server: WorkspaceIntegration | CrewIntegration) -> None:
    """To the bindings that have none; where a crew's server has no such binding, to every agent of the crew."""
    of_crew = isinstance(server, CrewIntegration)
    key: Any = AgentIntegration.crew_server_id if of_crew else AgentIntegration.workspace_server_id
    bare = (col(key) == server.id, col(AgentIntegration.credential_id).is_(None))
    given: dict[str, Any] = {"credential_id": credential.id, "cred_type": CredentialPlacement.bearer}
    if await ctx.select(AgentIntegration, *bare).exists():
        await ctx.update_where(AgentIntegration, *bare, **given)
    elif isinstance(server, CrewIntegration):
        bound = {one.agent_id for one in await ctx.select(AgentIntegration, col(key) == server.id).all()}
        agents = await ctx.select(Agent, col(Agent.crew_id) == server.crew_id).limit(MOST_AGENTS).all()
        given |= {"mcp_server_id": server.id, "mcp_server_scope": IntegrationScope.crew}
        await ctx.insert_all([AgentIntegration(agent_id=one.id, **given) for one in agents if one.id not in bound])
