"""What an MCP server of a workspace and one of a crew have in common: their fields, and which of them go together."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from models import bounds
from models.integrations import Transport
from resolvers.kernel import Bool, Code, ConfigText, Input, Output, Patch, Refusal, Text, Url, instance
from resolvers.rules.mcp_endpoint import endpoint_fault

TAKEN = "Integration with this name already exists"
ServerName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)]
TransportOrDefault = Annotated[Transport, BeforeValidator(lambda raw: Transport.streamable_http if raw == "" else raw)]


class ServerFields(Input):
    """`streamable-http` needs an endpoint, `stdio` a command. The `*_json` texts are kept as they are sent."""

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
    """What has become of it: `deleted`, `updated`."""

    status: str


def fault(field: str, text: str) -> Refusal:
    return Refusal(Code.BAD_REQUEST, f"{field} {text}", fields={field: text})


def new_server(data: ServerFields) -> dict[str, Any]:
    """The columns of a new one, or BAD_REQUEST."""
    check(data.transport, data.endpoint, data.command)
    return data.model_dump() | {"display_name": data.display_name or data.name}


def changed_server(server: Any, data: ServerPatch) -> dict[str, Any]:
    """What changes of one, or BAD_REQUEST. A patch of nothing is an edit all the same."""
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
