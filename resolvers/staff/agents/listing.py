"""What can be read of agents."""

from sqlmodel import col

from models.people.workspaces import Workspace
from models.resources.skills import AgentSkill
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Code,
    Id,
    Page,
    Paging,
    QueryScope,
    Row,
    Rows,
    confidential,
    count,
    extend,
    graph,
    many,
    one,
    query,
)

newest_first = (col(Agent.expired_at).is_(None).desc(), col(Agent.listed_at).desc(), col(Agent.id).desc())
"""Ghosts last, then by the end or beginning of a life: agents_list_idx to the letter, all in one direction."""


class ListAgents(Paging):
    """A page of agents: 100 by default, at most 500."""

    page_default = 100
    page_maximum = 500

    crew_id: Id | None = None


def of_crew(rows: Rows[Agent], data: ListAgents) -> Rows[Agent]:
    return rows if data.crew_id is None else rows.where(col(Agent.crew_id) == data.crew_id)


graph(
    Agent,
    gate=Action.READ,
    scope="agents:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    parent_lead=one(Agent, "parent_lead_id"),
    skill_count=count(AgentSkill, "agent_id"),
    chat_count=count(Chat, "agent_id"),
)
graph(AgentSkill, gate=Action.READ, scope="skills:read", visible=EVERYONE)
confidential(Agent, Action.UPDATE, "mcp_config_json")
extend(Workspace, agents=many(Agent, "workspace_id", order_by=newest_first, narrow=of_crew, input=ListAgents))


@query("agents.list", Action.READ)
def list_agents(scope: QueryScope, data: ListAgents) -> Page[Agent]:
    """List agents.

    Lists agents of the workspace or of one crew, newest first; expired agents come last.
    """
    return of_crew(scope.select(Agent), data).order_by(*newest_first).page(data)


@query("agents.get", Action.READ, errors=(Code.NOT_FOUND,))
def get_agent(scope: QueryScope, data: ById) -> Row[Agent]:
    """Get an agent."""
    return scope.select(Agent).where(col(Agent.id) == data.id).one("Agent not found")
