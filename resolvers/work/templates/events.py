"""Events about workflow templates."""

from resolvers.kernel import Event


class WorkflowTemplateCreated(Event, type="workflow_template.created", channel="workspace:{workspace_id}"):
    """A workflow template was created."""

    id: str


class WorkflowTemplateUpdated(Event, type="workflow_template.updated", channel="workspace:{workspace_id}"):
    """A workflow template was updated."""

    id: str


class WorkflowTemplateDeleted(Event, type="workflow_template.deleted", channel="workspace:{workspace_id}"):
    """A workflow template was deleted."""

    id: str
