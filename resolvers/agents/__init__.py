"""Agents of a workspace."""

from resolvers.agents.lifecycle import create_agent, delete_agent
from resolvers.agents.listing import ListAgents, get_agent, list_agents, newest_first, of_crew
from resolvers.agents.load import AgentLoad, CrewsStatus, agent_load, crews_status
from resolvers.agents.permission import crew_role, may_create, may_edit
from resolvers.agents.update import update_agent

__all__ = [
    "AgentLoad",
    "CrewsStatus",
    "ListAgents",
    "agent_load",
    "create_agent",
    "crew_role",
    "crews_status",
    "delete_agent",
    "get_agent",
    "list_agents",
    "may_create",
    "may_edit",
    "newest_first",
    "of_crew",
    "update_agent",
]
