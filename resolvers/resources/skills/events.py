"""Events about skills of agents."""

from resolvers.kernel import Event


class AgentSkillAssigned(Event, type="agent.skill_assigned", channel="workspace:{workspace_id}"):
    """A skill was assigned to an agent."""

    agent_id: str
    skill_id: str


class AgentSkillUnassigned(Event, type="agent.skill_unassigned", channel="workspace:{workspace_id}"):
    """A skill was removed from an agent."""

    agent_id: str
    skill_id: str
