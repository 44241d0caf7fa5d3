"""With whose credential an MCP server is asked where no run asks it."""

from sqlmodel import col

from models.agents import Agent
from models.integrations import AgentIntegration, CrewIntegration, IntegrationScope, WorkspaceIntegration
from resolvers.kernel import Context

Server = WorkspaceIntegration | CrewIntegration


async def longest_bound(ctx: Context, server: Server) -> tuple[AgentIntegration, Agent] | None:
    """The binding that is switched on and the oldest, of those with a credential where there are any, and its agent,
    which is there still.
    """
    scope = IntegrationScope.crew if isinstance(server, CrewIntegration) else IntegrationScope.workspace
    own = (col(AgentIntegration.mcp_server_id) == server.id, col(AgentIntegration.mcp_server_scope) == scope)
    bound = ctx.select(AgentIntegration, *own, col(AgentIntegration.enabled))
    ties = await bound.order_by(col(AgentIntegration.created_at), col(AgentIntegration.id)).all()
    live = await ctx.select(Agent, col(Agent.id).in_([tie.agent_id for tie in ties])).all() if ties else []
    agents = {agent.id: agent for agent in live}
    there = sorted((tie for tie in ties if tie.agent_id in agents), key=lambda tie: tie.credential_id is None)
    return (there[0], agents[there[0].agent_id]) if there else None
