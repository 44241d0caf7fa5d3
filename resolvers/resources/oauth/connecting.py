"""Connects an MCP server by its address alone: finds its authorization server, and registers a client there."""

from typing import Annotated

from pydantic import Field

from models import bounds
from models.actors import ActorType
from models.resources.credentials import Credential, CredentialEventType, CredentialStatus, CredentialType
from resolvers.kernel import Absent, Action, Code, Context, Input, Output, Refusal, command
from resolvers.resources.credentials.vault import sealed, tell
from resolvers.resources.oauth.client import Client, registered
from resolvers.resources.oauth.consents import callback
from resolvers.resources.oauth.discovery import NOTHING, AuthorizationServer, DiscoverySource, discovered, may_call
from resolvers.resources.oauth.providers import PROVIDERS
from resolvers.resources.oauth.states import begin

NEEDED = (
    "The provider does not support client registration: create an application in its settings, and a "
    "credential with its client id"
)


class AutoConnect(Input):
    """`server_name` is the name of the MCP server in this workspace. `provider_hint`: a built-in provider."""

    mcp_url: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.URL)]
    server_name: Annotated[str, Field(strict=True, max_length=bounds.NAME)] = ""
    provider_hint: Annotated[str, Field(strict=True, max_length=bounds.NAME)] = ""


class AutoConnected(Output):
    """`status` is `authorize` (open `auth_url` in a browser) or `needs_client_id`."""

    status: str
    auth_url: str = Field(repr=False)
    credential_id: Annotated[str | None, Absent()] = None
    token_url: Annotated[str | None, Absent()] = None
    scopes: Annotated[str | None, Absent()] = None
    message: Annotated[str | None, Absent()] = None


@command("oauth.auto_connect", Action.MANAGE, audit="credential.created", late=True)
async def auto_connect(ctx: Context, data: AutoConnect) -> AutoConnected:
    """Start connecting an MCP server by consent.

    Discovers the authorization server, registers a client (RFC 7591), and creates a credential without tokens.
    If the server does not support registration, nothing is stored; register an application manually.
    """
    server = await _server(data)
    if server is None:
        raise Refusal(Code.BAD_REQUEST, NOTHING)
    client = await registered(server, callback(ctx)) if server.registration_endpoint else None
    if client is None:
        return AutoConnected(
            status="needs_client_id",
            auth_url=server.auth_url,
            token_url=server.token_url,
            scopes=server.scopes,
            message=NEEDED,
        )
    credential = await _credential(ctx, data.server_name.strip() or "mcp-server", server, client)
    await ctx.begin()
    await ctx.insert(credential)
    tell(ctx, credential.id, CredentialEventType.CREATED, created_by=ctx.user_id, provider="NONE", type="OAUTH2")
    begun = await begin(ctx, credential, callback(ctx))
    ctx.audit("CREDENTIAL", credential.id, name=credential.name)
    return AutoConnected(status="authorize", auth_url=begun.auth_url, credential_id=credential.id)


async def _server(data: AutoConnect) -> AuthorizationServer | None:
    hinted = PROVIDERS.get(data.provider_hint)
    if hinted is None:
        return await discovered(data.mcp_url)
    if not may_call(data.mcp_url):
        return None
    known = DiscoverySource.known_provider
    return AuthorizationServer(hinted.auth_url, hinted.token_url, hinted.default_scopes, source=known)


async def _credential(ctx: Context, name: str, server: AuthorizationServer, client: Client) -> Credential:
    credential = Credential(
        name="",
        type=CredentialType.OAUTH2,
        status=CredentialStatus.PENDING,
        oauth_client_id=client.id,
        oauth_auth_url=server.auth_url,
        oauth_token_url=server.token_url,
        oauth_scopes=server.scopes,
        oauth_issuer=server.issuer,
        oauth_names_issuer=server.names_itself,
        oauth_resource=server.resource,
        created_by_actor_type=ActorType.user,
        created_by_actor_id=ctx.user_id or None,
    )
    credential.name = f"{name}-oauth-{credential.id[-5:]}"
    if client.secret is not None:
        credential.oauth_client_secret = await sealed(ctx, credential.id, "oauth_client_secret", client.secret)
    return credential
