"""A connector becomes an MCP server: with its credentials, in one transaction, and with no secret that members read."""

from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models import bounds
from models.actors import ActorType
from models.resources.credentials import Credential, CredentialEventType, CredentialStatus, CredentialType
from models.resources.integrations import CrewIntegration, Transport, WorkspaceIntegration
from models.staff.crews import Crew
from resolvers.kernel import Absent, Action, Code, Context, Emptied, Event, Id, Output, Ref, Refusal, command
from resolvers.kernel.declarations.row_events import OF_MEMBERS
from resolvers.resources.credentials.vault import sealed, tell
from resolvers.resources.oauth.consents import callback
from resolvers.resources.oauth.states import begin
from resolvers.rules.mcp_endpoint import endpoint_fault
from resolvers.staff.connectors.catalog import ByConnector, connector_of
from resolvers.staff.connectors.forms import Filling, Values, complete, given, referring
from resolvers.staff.connectors.manifest import AuthMode, Connector
from resolvers.staff.connectors.verification import instance_url

KEPT: Final = (AuthMode.pat, AuthMode.conn_string, AuthMode.byo_oauth)
CLIENT: Final = ("client_id", "client_secret")
TAKEN: Final = "An MCP server or credential with this name was created meanwhile; try again"
Server = WorkspaceIntegration | CrewIntegration


class InstallConnector(ByConnector):
    """`fields`: key -> value. With a crew the server belongs to the crew, otherwise to the workspace."""

    crew_id: Annotated[Emptied[Id], Ref(Crew)] = None
    name: Annotated[str, Field(strict=True, max_length=bounds.LINE)] = ""
    fields: Values = Field(default={}, repr=False)


class InstallResult(Output):
    """`next_step` is null or absent if the setup is complete. `mcp_oauth`: connect the server; `oauth`: open
    `oauth_url`.
    """

    integration_id: str
    next_step: Annotated[str | None, Absent()] = None
    oauth_url: Annotated[str | None, Field(repr=False), Absent()] = None


class ConnectorInstalledEvent(Event, type="connector.installed", channel=OF_MEMBERS):
    """An integration was created from a connector, with the credentials of its form.

    `integrationCrewId` is null for an integration of the workspace.
    """

    integration_id: str
    integration_crew_id: str | None


@command(
    "connectors.install",
    Action.CREATE,
    audit="connector.installed",
    emits=ConnectorInstalledEvent,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    scopes=("crews:write", "credentials:write"),
)
async def install_connector(ctx: Context, data: InstallConnector) -> InstallResult:
    """Create an MCP server from a connector.

    Creates an MCP server and a credential for each password of the form in one transaction. The server refers to
    passwords by the names of their credentials. Not idempotent: a second call creates a second server.
    """
    connector = connector_of(data.connector_id)
    values = given(connector, data.fields)
    filled = complete(connector, values, defaults=True)
    server = await _server(ctx, connector, data)
    mark = server.id[:8]
    kept = connector.auth_mode in KEPT

    def name_of(key: str) -> str:
        return f"{connector.id}-{key.replace('_', '-')}-{mark}"

    shown = referring(connector, filled, name_of) if kept else filled
    _fill(server, connector, Filling(connector, shown, instance_url(ctx)))
    if kept:
        await _keep(ctx, {name_of(key): value for key, value in values.items() if not _is_client(connector, key)})
    url = await _consent(ctx, connector, filled, mark) if connector.auth_mode is AuthMode.byo_oauth else None
    ctx.audit("CONNECTOR", server.id, connector=connector.id, name=server.name, crew_id=data.crew_id)
    ctx.emit(ConnectorInstalledEvent(integration_id=server.id, integration_crew_id=data.crew_id))
    await ctx.insert(server, conflict=TAKEN)
    step = {AuthMode.mcp_oauth: "mcp_oauth", AuthMode.byo_oauth: "oauth"}.get(connector.auth_mode)
    return InstallResult(integration_id=server.id, next_step=step, oauth_url=url)


async def _server(ctx: Context, connector: Connector, data: InstallConnector) -> Server:
    """Named like the connector, or with the beginning of its id behind that."""
    told: dict[str, Any] = {
        "display_name": data.name.strip() or connector.name,
        "transport": connector.mcp.transport,
        "icon": connector.brand.logo,
        "config_json": "{}",
    }
    if data.crew_id is None:
        whole = WorkspaceIntegration(name=connector.id, **told)
        if await ctx.select(WorkspaceIntegration, col(WorkspaceIntegration.name) == connector.id).exists():
            whole.name = f"{connector.id}-{whole.id[:8]}"
        return whole
    own = CrewIntegration(name=connector.id, crew_id=data.crew_id, **told)
    same = (col(CrewIntegration.crew_id) == data.crew_id, col(CrewIntegration.name) == connector.id)
    if await ctx.select(CrewIntegration, *same).exists():
        own.name = f"{connector.id}-{own.id[:8]}"
    return own


def _fill(server: Server, connector: Connector, filling: Filling) -> None:
    """Fills the server's texts; parts that the manifest lacks are empty, or JSON's null (contract:
    connectors.install).
    """
    mcp = connector.mcp
    server.command, server.endpoint = filling.text(mcp.command or ""), filling.text(mcp.endpoint or "")
    args = None if mcp.args is None else [filling.text(arg) for arg in mcp.args]
    env = None if mcp.env is None else {name: filling.text(value) for name, value in mcp.env.items()}
    server.args_json, server.env_json = orjson.dumps(args).decode(), orjson.dumps(env).decode()
    longest = {"args": server.args_json, "env": server.env_json}
    if over := [name for name, text in longest.items() if len(text) > bounds.CONFIG]:
        raise Refusal(Code.BAD_REQUEST, f"fields: too much for {over[0]} of the server")
    if max(len(server.command), len(server.endpoint)) > bounds.URL:
        raise Refusal(Code.BAD_REQUEST, "fields: too long for the server")
    if mcp.transport is Transport.streamable_http and (fault := endpoint_fault(server.endpoint)) is not None:
        raise Refusal(Code.BAD_REQUEST, f"fields: the endpoint {fault}")


async def _keep(ctx: Context, values: dict[str, str]) -> None:
    """A credential for each, under its name."""
    made = list[Credential]()
    for name, value in values.items():
        credential = Credential(name=name, type=CredentialType.SECRET, **_by(ctx))
        credential.value = await sealed(ctx, credential.id, "value", value)
        made.append(credential)
    await ctx.insert_all(made, conflict=TAKEN)
    for credential in made:
        _told(ctx, credential)


async def _consent(ctx: Context, connector: Connector, values: dict[str, str], mark: str) -> str:
    """The credential that is to be got by consent, and where that is asked for."""
    assert connector.oauth is not None
    credential = Credential(
        name=f"{connector.id}-oauth-{mark}",
        type=CredentialType.OAUTH2,
        oauth_client_id=values[CLIENT[0]],
        oauth_auth_url=connector.oauth.authorization_url,
        oauth_token_url=connector.oauth.token_url,
        oauth_scopes=" ".join(connector.oauth.scopes),
        **_by(ctx) | {"status": CredentialStatus.PENDING},
    )
    credential.oauth_client_secret = await sealed(ctx, credential.id, "oauth_client_secret", values[CLIENT[1]])
    await ctx.insert(credential, conflict=TAKEN)
    _told(ctx, credential)
    return (await begin(ctx, credential, callback(ctx))).auth_url


def _is_client(connector: Connector, key: str) -> bool:
    """Returns true if the value belongs to the OAuth client, and is stored with the tokens."""
    return connector.auth_mode is AuthMode.byo_oauth and key in CLIENT


def _by(ctx: Context) -> dict[str, Any]:
    made = {"created_by_actor_type": ActorType.user, "created_by_actor_id": ctx.user_id or None}
    return made | {"status": CredentialStatus.ACTIVE}


def _told(ctx: Context, credential: Credential) -> None:
    told = {"created_by": ctx.user_id or None, "provider": credential.provider, "type": credential.type}
    tell(ctx, credential.id, CredentialEventType.CREATED, **told)
