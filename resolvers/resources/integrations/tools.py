"""Which tools of a crew's MCP server its agents may call."""

from collections.abc import Awaitable, Mapping
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import case
from sqlmodel import col

from models import bounds
from models.resources.credentials import Credential, CredentialStatus
from models.resources.integrations import CrewIntegration, ToolBinding, Transport
from resolvers.instance.mcp_client import McpFailed, McpServer, ToolOffered, offered
from resolvers.instance.ports import NotRun
from resolvers.instance.vault import Unopenable, told_of_secrets
from resolvers.kernel import (
    Action,
    Bool,
    Code,
    Context,
    Description,
    Input,
    Output,
    Patch,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Text,
    at_most,
    command,
    query,
)
from resolvers.resources.credentials.references import value_of
from resolvers.resources.integrations.asking import longest_bound
from resolvers.resources.integrations.crew_servers import CREW_SERVER, OfCrewServer
from resolvers.resources.integrations.graph import BY_NAME
from resolvers.resources.integrations.programs import SECONDS, asked_program
from resolvers.resources.integrations.servers import fault
from resolvers.resources.integrations.testing import policy
from resolvers.rules.known_sets import redactor_of
from resolvers.rules.known_values import TooManyValues
from resolvers.rules.mcp_credentials import headers_with
from resolvers.rules.redaction import Redactor

MOST_TOOLS = 1000
TOO_MANY = f"A server has at most {MOST_TOOLS:,} tools"
TAKEN = "tool_bindings_crew_integration_id_tool_name_key"


class OfTool(OfCrewServer):
    tool_name: Text


class UpdateTool(Patch, OfTool):
    """An unknown tool is added, enabled by default."""

    enabled: Bool
    description: Description


class ToolSent(Input):
    """Tools without a name are skipped. Without a description, the stored one is kept."""

    name: Annotated[str, Field(strict=True, max_length=bounds.LINE)] = ""
    description: Description | None = None


class RefreshTools(OfCrewServer):
    """The server's tools, if the caller has already queried them. Without them, this server queries it."""

    tools: Annotated[list[ToolSent], at_most(MOST_TOOLS)] | None = None


class ToolsRefreshed(Output):
    """`created` are new, `updated` were known, `total` were sent."""

    created: int
    updated: int
    total: int


@query("crew_tools.list", Action.READ, subject=CREW_SERVER, tickets=False, scopes="crews")
def list_tools(scope: QueryScope, server: Row[CrewIntegration], data: OfCrewServer) -> Rows[ToolBinding]:
    """List known tools of an MCP server.

    Sorted by name. The server is not contacted; tools that are not listed are enabled.
    """
    return scope.children(server, ToolBinding, "crew_integration_id").order_by(*BY_NAME)


@command(
    "crew_tools.update",
    Action.MANAGE,
    audit="tool_binding.updated",
    subject=CREW_SERVER,
    errors=(Code.CONFLICT,),
    again=TAKEN,
    scopes="crews",
)
async def update_tool(ctx: Context, server: CrewIntegration, data: UpdateTool) -> ToolBinding:
    """Update a tool of an MCP server.

    Calls of a disabled tool are refused. A server has at most 1,000 known tools.
    """
    changes = data.changes("crew_id", "integration_id", "tool_name")
    if not data.tool_name.strip():
        raise fault("tool_name", "may not be blank")
    if not changes:
        raise Refusal(Code.BAD_REQUEST, "There is nothing to update")
    own = col(ToolBinding.crew_integration_id) == server.id
    known = await ctx.select(ToolBinding, own, col(ToolBinding.tool_name) == data.tool_name).first()
    if known is not None:
        return await ctx.edit(known, **changes)
    if await ctx.select(ToolBinding, own).count() >= MOST_TOOLS:
        raise Refusal(Code.CONFLICT, TOO_MANY)
    return await ctx.insert(ToolBinding(crew_integration_id=server.id, tool_name=data.tool_name, **changes))


@command(
    "crew_tools.refresh",
    Action.MANAGE,
    audit="crew_integration.tools_refreshed",
    subject=CREW_SERVER,
    errors=(Code.CONFLICT, Code.BAD_GATEWAY, Code.RATE_LIMITED),
    late=True,
    scopes="crews",
)
async def refresh_tools(ctx: Context, server: CrewIntegration, data: RefreshTools) -> ToolsRefreshed:
    """Update the known tools of an MCP server.

    Adds new tools as enabled and updates descriptions of known tools; other tools are kept. Without tools in the
    body, the server is queried, or started if this instance allows stdio servers, with the credential of a bound
    agent. Tools whose definition changes later are hidden from agents until the next refresh.
    """
    if data.tools is None:
        sent = await _asked(ctx, server)
    else:
        sent = [(tool.name, {"description": tool.description}) for tool in data.tools if tool.name.strip()]
    await ctx.begin()
    kept = await ctx.get(CrewIntegration, server.id, lock=True)
    created, updated = await keep_tools(ctx, kept, sent)
    ctx.audit("CREW_INTEGRATION", kept.id, created=created, updated=updated)
    return ToolsRefreshed(created=created, updated=updated, total=len(sent if data.tools is None else data.tools))


async def _asked(ctx: Context, server: CrewIntegration) -> list[tuple[str, dict[str, Any]]]:
    if server.transport is Transport.stdio:
        return await _asked_of_a_program(ctx, server)
    if not server.endpoint:
        raise Refusal(Code.BAD_REQUEST, "Only a server with an endpoint can be queried: send its tools")
    secrets = list[str]()
    with told_of_secrets(secrets.append):
        asked = McpServer(server.endpoint, await _headers(ctx, server), policy())
    try:
        redactor = await redactor_of(secrets)
    except TooManyValues as refused:
        raise Refusal(Code.BAD_REQUEST, str(refused)) from None
    return await _found(offered(asked), redactor)


async def _asked_of_a_program(ctx: Context, server: CrewIntegration) -> list[tuple[str, dict[str, Any]]]:
    try:
        async with asked_program(ctx, server) as ready:
            return await _found(offered(ready.program, seconds=SECONDS), ready.redactor)
    except NotRun as reason:
        raise Refusal(Code.BAD_REQUEST, f"{reason}: send its tools") from None


async def _found(asked: Awaitable[list[ToolOffered]], redactor: Redactor) -> list[tuple[str, dict[str, Any]]]:
    """The tools without secrets: a server may repeat its credential, which the refreshing user need not know."""
    try:
        found = await asked
    except McpFailed as failed:
        told = failed.told(redactor.redact)
        raise Refusal(Code.BAD_GATEWAY, f"The MCP server could not be queried: {told}") from None
    fits = [tool for tool in found if tool.name.strip() and len(tool.name) <= bounds.LINE and "\0" not in tool.name]
    named = [tool for tool in fits if redactor.redact(tool.name) == tool.name]
    return [(tool.name, _told(redactor.redact(tool.description), tool.fingerprint)) for tool in named]


def _told(description: str, fingerprint: str) -> dict[str, Any]:
    plain = bounds.cut(description.replace("\0", ""), bounds.DESCRIPTION)
    return {"description": plain or None, "fingerprint": fingerprint}


async def _headers(ctx: Context, server: CrewIntegration) -> Mapping[str, str]:
    bound = await longest_bound(ctx, server)
    if bound is None or bound[0].credential_id is None:
        return {}
    tie, active = bound[0], col(Credential.status) == CredentialStatus.ACTIVE
    secret = await ctx.select(Credential, col(Credential.id) == tie.credential_id, active).first()
    if secret is None or secret.value is None:
        return {}
    try:
        value = await value_of(secret.id, secret.value, secret.secret_ref)
    except (Unopenable, Refusal):
        return {}
    return headers_with(tie.cred_type, tie.cred_header, value.reveal())


async def keep_tools(ctx: Context, server: CrewIntegration, sent: list[tuple[str, dict[str, Any]]]) -> tuple[int, int]:
    """Stores tools; returns the numbers of new and of known ones. Fields of a tool that are None are unchanged."""
    own = col(ToolBinding.crew_integration_id) == server.id
    known = {tool.tool_name: tool for tool in await ctx.select(ToolBinding, own).all()}
    made = dict[str, ToolBinding]()
    updated, changes = 0, dict[str, dict[str, Any]]()
    for name, values in sent:
        given = {key: value for key, value in values.items() if value is not None}
        if name in known:
            updated += 1
            changes.setdefault(known[name].id, {}).update(given)
        elif name in made:
            updated += 1
            made[name].__dict__.update(given)
        else:
            made[name] = ToolBinding(crew_integration_id=server.id, tool_name=name, **given)
    if len(known) + len(made) > MOST_TOOLS:
        raise Refusal(Code.CONFLICT, TOO_MANY)
    await ctx.insert_all(list(made.values()), conflict="One of these tools was added meanwhile")
    for column in ("description", "fingerprint"):
        new = {id: values[column] for id, values in changes.items() if column in values}
        if new:
            id = col(ToolBinding.id)
            changed: Any = {column: case(new, value=id)}
            await ctx.update_where(ToolBinding, own, id.in_(list(new)), **changed)
    return len(made), updated
