"""The log of MCP tool calls: read by members, written by the runtime of agents."""

from typing import Annotated, ClassVar

from pydantic import Field
from sqlmodel import col

from models.oversight.audit import McpCallStatus, McpServerScope, McpToolCall
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    EVERYONE,
    Action,
    Auth,
    Code,
    Context,
    Description,
    Emptied,
    Filter,
    Id,
    Input,
    Page,
    Paging,
    QueryScope,
    Ref,
    Text,
    command,
    graph,
    one,
    query,
)
from resolvers.kernel.ground.inputs import INT32
from resolvers.rules.times import Since, Until, from_time, up_to

Named = Field(min_length=1)

graph(
    McpToolCall,
    gate=Action.READ,
    scope="agents:read",
    visible=EVERYONE,
    agent=one(Agent, "agent_id"),
    crew=one(Crew, "crew_id"),
)


class ListMcpCalls(Paging):
    """Filters are combined with AND, and match exactly.

    `since` and `until` are inclusive; an invalid date matches nothing.
    """

    page_default: ClassVar[int] = 200
    page_maximum: ClassVar[int] = 200

    agent_id: Annotated[Id | None, Filter(McpToolCall.agent_id, leads=True)] = None
    server_id: Annotated[Id | None, Filter(McpToolCall.mcp_server_id, leads=True)] = None
    status: Annotated[Text | None, Filter(McpToolCall.status, leads=True)] = None
    since: Annotated[Since, from_time(McpToolCall.created_at)] = None
    until: Annotated[Until, up_to(McpToolCall.created_at)] = None


class RecordMcpCall(Input):
    """The agent, and the crew if there is one, are of the workspace."""

    workspace_id: Id
    agent_id: Annotated[Id, Ref(Agent)]
    crew_id: Emptied[Annotated[Id, Ref(Crew)]] = None
    mcp_server_id: Annotated[Id, Named]
    mcp_server_scope: McpServerScope = McpServerScope.workspace
    tool_name: Annotated[Text, Named]
    status: McpCallStatus
    duration_ms: Annotated[int, Field(strict=True, ge=0, le=INT32)] | None = None
    error_message: Description | None = None


@query("mcp_calls.list", Action.READ, tickets=False, scopes="agents")
def list_mcp_calls(scope: QueryScope, data: ListMcpCalls) -> Page[McpToolCall]:
    """List MCP tool calls.

    Newest first.
    """
    newest_first = (col(McpToolCall.created_at).desc(), col(McpToolCall.id).desc())
    return scope.select(McpToolCall).matching(data).order_by(*newest_first).page(data)


@command("mcp_calls.record", Action.NONE, auth=Auth.INTERNAL, errors=(Code.NOT_FOUND,), scopes="agents")
async def record_mcp_call(ctx: Context, data: RecordMcpCall) -> McpToolCall:
    """Record an MCP tool call.

    Called by agents' runtimes after a call has ended.
    """
    return await ctx.insert(McpToolCall(**data.model_dump()))
