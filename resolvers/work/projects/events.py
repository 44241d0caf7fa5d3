"""Events about projects and milestones."""

from resolvers.kernel import Event


class ProjectCreated(Event, type="project.created", channel="workspace:{workspace_id}"):
    """A project was created."""

    id: str


class ProjectUpdated(Event, type="project.updated", channel="workspace:{workspace_id}"):
    """A project was updated."""

    id: str


class ProjectDeleted(Event, type="project.deleted", channel="workspace:{workspace_id}"):
    """A project was deleted."""

    id: str


class MilestoneCreated(Event, type="milestone.created", channel="workspace:{workspace_id}"):
    """A milestone was added to a project."""

    id: str
    project_id: str


class MilestoneUpdated(Event, type="milestone.updated", channel="workspace:{workspace_id}"):
    """A milestone was updated."""

    id: str
    project_id: str


class MilestoneDeleted(Event, type="milestone.deleted", channel="workspace:{workspace_id}"):
    """A milestone was deleted."""

    id: str
    project_id: str
