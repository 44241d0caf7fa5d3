"""Events about skills of agents."""

from resolvers.kernel import Event
from resolvers.kernel.declarations.row_events import OF_MEMBERS


class AgentSkillAssigned(Event, type="agent.skill_assigned", channel="workspace:{workspace_id}"):
    """A skill was assigned to an agent."""

    agent_id: str
    skill_id: str


class AgentSkillUnassigned(Event, type="agent.skill_unassigned", channel="workspace:{workspace_id}"):
    """A skill was removed from an agent."""

    agent_id: str
    skill_id: str


class SkillProposalApproved(Event, type="skill_proposal.approved", channel=OF_MEMBERS):
    """A proposed skill was approved: the catalog has it as `skill_id`."""

    crew_id: str
    skill_id: str


class SkillProposalRejected(Event, type="skill_proposal.rejected", channel=OF_MEMBERS):
    """A proposed skill of a crew was rejected."""

    crew_id: str
