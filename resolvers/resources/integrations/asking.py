"""The credential of an MCP server outside runs."""

from sqlalchemy import select
from sqlmodel import col

from models.resources.integrations import AgentIntegration, CrewIntegration, IntegrationScope, WorkspaceIntegration
from models.staff.agents import Agent
from resolvers.kernel import Context

Server = WorkspaceIntegration | CrewIntegration


async def longest_bound(ctx: Context, server: Server) -> tuple[AgentIntegration, Agent] | None:
    """The binding that is switched on and the oldest, of those with a credential where there are any, and its agent,
    which is there still.
    """
    scope = IntegrationScope.crew if isinstance(server, CrewIntegration) else IntegrationScope.workspace
    own = (col(AgentIntegration.mcp_server_id) == server.id, col(AgentIntegration.mcp_server_scope) == scope)
    agents = ctx.table(Agent).c
    live = col(AgentIntegration.agent_id).in_(select(agents.id))
    without = col(AgentIntegration.credential_id).is_(None)
    bound = ctx.select(AgentIntegration, *own, col(AgentIntegration.enabled), live)
    tie = await bound.order_by(without, col(AgentIntegration.created_at), col(AgentIntegration.id)).first()
    agent = None if tie is None else await ctx.select(Agent, col(Agent.id) == tie.agent_id).first()
    return None if tie is None or agent is None else (tie, agent)
