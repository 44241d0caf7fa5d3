"""Agents of a workspace."""

from resolvers.agents.folders import AgentFolder
from resolvers.agents.lifecycle import create_agent, delete_agent
from resolvers.agents.listing import ListAgents, get_agent, list_agents
from resolvers.agents.load import AgentLoad, CrewsStatus, agent_load, crews_status
from resolvers.agents.logs import list_logs
from resolvers.agents.runs import list_runs_of_agent, stop_agent
from resolvers.agents.update import update_agent

__all__ = [
    "AgentFolder", "AgentLoad", "CrewsStatus", "ListAgents", "agent_load", "create_agent", "crews_status",
    "delete_agent", "get_agent",
    "list_agents", "list_logs",
    "list_runs_of_agent", "stop_agent", "update_agent",
]  # fmt: skip
