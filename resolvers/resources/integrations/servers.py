"""The common part of workspace and crew MCP servers: their fields, and which of them go together."""

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field
from sqlmodel import col

from models import bounds
from models.resources.integrations import AgentIntegration, CrewIntegration, Transport, WorkspaceIntegration
from resolvers.kernel import Bool, Code, ConfigText, Context, Input, Output, Patch, Refusal, Text, Url, instance
from resolvers.rules.mcp_endpoint import endpoint_fault, origin

S = TypeVar("S", WorkspaceIntegration, CrewIntegration)
WHERE_TO = ("transport", "endpoint", "command", "args_json", "env_json")
TAKEN = "Integration with this name already exists"
ServerName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)]
TransportOrDefault = Annotated[Transport, BeforeValidator(lambda raw: Transport.streamable_http if raw == "" else raw)]


class ServerFields(Input):
    """`streamable-http` needs an endpoint, `stdio` a command. The `*_json` texts are stored unchanged."""

    name: ServerName
    display_name: Text = ""
    transport: TransportOrDefault = Transport.streamable_http
    endpoint: Url | None = None
    command: Url | None = None
    args_json: ConfigText | None = None
    env_json: ConfigText | None = None
    config_json: ConfigText | None = None
    icon: Text | None = None


class ServerPatch(Patch):
    """The name cannot be changed. An empty text empties a field."""

    display_name: Text
    transport: Transport
    endpoint: Url
    command: Url
    args_json: ConfigText
    env_json: ConfigText
    config_json: ConfigText
    icon: Text
    enabled: Bool


class IntegrationStatus(Output):
    """The outcome: `deleted` or `updated`."""

    status: str


def fault(field: str, text: str) -> Refusal:
    return Refusal(Code.BAD_REQUEST, f"{field} {text}", fields={field: text})


def new_server(data: ServerFields) -> dict[str, Any]:
    """The columns of a new one, or BAD_REQUEST."""
    check(data.transport, data.endpoint, data.command)
    return data.model_dump() | {"display_name": data.display_name or data.name}


async def edit_server(ctx: Context, server: S, data: ServerPatch) -> S:
    """Updates a server. A server that moves to another address loses its credentials."""
    changes = changed_server(server, data)
    if not changes.keys().isdisjoint(WHERE_TO):
        server = await ctx.get(type(server), server.id, lock=True)
        changes = changed_server(server, data)
        if _place(server.__dict__ | changes) != _place(server.__dict__):
            taken = await _take_credentials(ctx, server)
            kind = "CREW_INTEGRATION" if isinstance(server, CrewIntegration) else "WORKSPACE_INTEGRATION"
            ctx.audit(kind, server.id, credentials_unbound=taken)
    return await ctx.edit(server, **changes)


def _place(server: dict[str, Any]) -> tuple[Any, ...]:
    """The receiver of credentials that are bound to the server: its origin, or the process that is started."""
    if server["transport"] is Transport.stdio:
        return tuple(server[name] or "" for name in WHERE_TO if name != "endpoint")
    return (server["transport"], origin(server["endpoint"] or ""))


async def _take_credentials(ctx: Context, server: WorkspaceIntegration | CrewIntegration) -> list[str]:
    """Bindings stay: a server without any would be there for all agents."""
    own = "crew_server_id" if isinstance(server, CrewIntegration) else "workspace_server_id"
    tied = (col(getattr(AgentIntegration, own)) == server.id, col(AgentIntegration.credential_id).is_not(None))
    ties = await ctx.select(AgentIntegration, *tied).all()
    if ties:
        await ctx.update_where(AgentIntegration, *tied, credential_id=None)
    return sorted({str(tie.credential_id) for tie in ties})


def changed_server(server: Any, data: ServerPatch) -> dict[str, Any]:
    """The changes of a server, or BAD_REQUEST. An empty patch counts as an edit."""
    changes = data.sent()
    merged = {name: changes.get(name, getattr(server, name)) for name in ("transport", "endpoint", "command")}
    if "transport" in changes:
        check(**merged)
    elif merged["endpoint"]:
        check_endpoint(merged["transport"], merged["endpoint"])
    return changes or {"enabled": server.enabled}


def check(transport: Transport, endpoint: str | None, command: str | None) -> None:
    if transport is Transport.stdio:
        if not command:
            raise fault("command", "is required for stdio transport")
        return
    if not endpoint:
        raise fault("endpoint", "is required for streamable-http transport")
    check_endpoint(transport, endpoint)


def check_endpoint(transport: Transport, endpoint: str) -> None:
    """One that is not called is not looked into."""
    if transport is Transport.stdio:
        return
    found = endpoint_fault(endpoint, private=instance.settings.mcp_allow_private)
    if found is not None:
        raise fault("endpoint", found)
