"""What a workspace is told of the skills of agents, and of workflow templates."""

from resolvers.kernel import Event


class AgentSkillAssigned(Event, type="agent.skill_assigned", channel="workspace:{workspace_id}", planned=True):
    """A skill was assigned to an agent."""

    agent_id: str
    skill_id: str


class AgentSkillUnassigned(Event, type="agent.skill_unassigned", channel="workspace:{workspace_id}", planned=True):
    """A skill was removed from an agent."""

    agent_id: str
    skill_id: str


class WorkflowTemplateCreated(
    Event, type="workflow_template.created", channel="workspace:{workspace_id}", planned=True
):
    """A workflow template was created."""

    id: str


class WorkflowTemplateUpdated(
    Event, type="workflow_template.updated", channel="workspace:{workspace_id}", planned=True
):
    """A workflow template was updated."""

    id: str


class WorkflowTemplateDeleted(
    Event, type="workflow_template.deleted", channel="workspace:{workspace_id}", planned=True
):
    """A workflow template was deleted."""

    id: str
