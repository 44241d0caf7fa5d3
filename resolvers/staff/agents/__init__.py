"""Agents of a workspace."""

from resolvers.kernel import Domain
from resolvers.staff.agents.agents import (
    ListAgents,
    create_agent,
    delete_agent,
    get_agent,
    get_agent_by_slug,
    list_agents,
    update_agent,
)
from resolvers.staff.agents.folders import AgentFolder
from resolvers.staff.agents.load import AgentLoad, CrewsStatus, agent_load, crews_status
from resolvers.staff.agents.logs import list_logs
from resolvers.staff.agents.runs import list_runs_of_agent, stop_agent

DOMAIN = Domain("agents")
