"""Agents found by a part of their name, by status and by role: filters that the contract's route does not have."""

from typing import Annotated

from models.staff.agents import Agent, AgentRole, AgentStatus
from resolvers.kernel import GRAPHQL_ONLY, Action, Filter, Id, Page, QueryScope, Text, contains, query
from resolvers.staff.agents.agents import ListAgents, newest_first


class FindAgents(ListAgents):
    """Filters are combined with AND. `search` matches a part of the name, ignoring the case of ASCII letters."""

    crew_id: Annotated[Id | None, Filter(Agent.crew_id, leads=True)] = None
    agent_role: Annotated[AgentRole | None, Filter(Agent.agent_role, leads=True)] = None
    search: Annotated[Text | None, Filter(contains(Agent.name))] = None
    # without an index: it would be written with every run
    status: Annotated[AgentStatus | None, Filter(Agent.status)] = None


@query("agents.find", Action.READ, surfaces=GRAPHQL_ONLY)
def find_agents(scope: QueryScope, data: FindAgents) -> Page[Agent]:
    """List agents by name, status, role and crew.

    Newest first; expired agents come last.
    """
    return scope.select(Agent).matching(data).order_by(*newest_first).page(data)
