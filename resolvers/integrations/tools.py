"""Which tools of a crew's MCP server its agents may call."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import case
from sqlmodel import col

from models import bounds
from models.integrations import CrewIntegration, ToolBinding
from resolvers.integrations.crew_servers import CREW_SERVER, OfCrewServer
from resolvers.integrations.graph import BY_NAME
from resolvers.integrations.servers import fault
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

MOST_TOOLS = 1000
TOO_MANY = f"A server has at most {MOST_TOOLS:,} tools"
TAKEN = "tool_bindings_crew_integration_id_tool_name_key"


class OfTool(OfCrewServer):
    tool_name: Text


class UpdateTool(Patch, OfTool):
    """A tool that is not known yet is added; it is switched on unless told otherwise."""

    enabled: Bool
    description: Description


class ToolSent(Input):
    """One without a name is skipped. Without a description, the one that is known stays."""

    name: Annotated[str, Field(strict=True, max_length=bounds.LINE)] = ""
    description: Description | None = None


class RefreshTools(OfCrewServer):
    """The tools that the server has, as somebody knows them who has asked it."""

    tools: Annotated[list[ToolSent], at_most(MOST_TOOLS)] = []


class ToolsRefreshed(Output):
    """`created` are new, `updated` were known, `total` were sent."""

    created: int
    updated: int
    total: int


@query("crew_tools.list", Action.READ, subject=CREW_SERVER, errors=(Code.NOT_FOUND,), tickets=False)
def list_tools(scope: QueryScope, server: Row[CrewIntegration], data: OfCrewServer) -> Rows[ToolBinding]:
    """List known tools of an MCP server.

    By name. Nobody is asked; a tool that is not in the list counts as switched on.
    """
    return scope.children(server, ToolBinding, "crew_integration_id").order_by(*BY_NAME)


@command(
    "crew_tools.update",
    Action.MANAGE,
    audit="tool_binding.updated",
    subject=CREW_SERVER,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    again=TAKEN,
)
async def update_tool(ctx: Context, server: CrewIntegration, data: UpdateTool) -> ToolBinding:
    """Update a tool of an MCP server.

    Agents are refused calls of a tool that is switched off. A server has at most 1,000 known tools.
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
    locked=True,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    again=TAKEN,
)
async def refresh_tools(ctx: Context, server: CrewIntegration, data: RefreshTools) -> ToolsRefreshed:
    """Update the known tools of an MCP server.

    New ones are switched on; known ones stay as they are, with the description that was sent. Those that were not sent
    stay, too.
    """
    sent = [(tool.name, {"description": tool.description}) for tool in data.tools if tool.name.strip()]
    created, updated = await keep_tools(ctx, server, sent)
    ctx.audit("CREW_INTEGRATION", server.id, created=created, updated=updated)
    return ToolsRefreshed(created=created, updated=updated, total=len(data.tools))


async def keep_tools(ctx: Context, server: CrewIntegration, sent: list[tuple[str, dict[str, Any]]]) -> tuple[int, int]:
    """How many are new, and how many were known. What is None of a tool stays as it is."""
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
    await ctx.insert_all(list(made.values()))
    for column in ("description", "fingerprint"):
        new = {id: values[column] for id, values in changes.items() if column in values}
        if new:
            id = col(ToolBinding.id)
            changed: Any = {column: case(new, value=id)}
            await ctx.update_where(ToolBinding, own, id.in_(list(new)), **changed)
    return len(made), updated
