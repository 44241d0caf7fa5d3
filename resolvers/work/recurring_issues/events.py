"""Events about recurring issues. An issue that one creates is announced by IssueCreatedByService."""

from resolvers.kernel import Event


class RecurringIssueCreated(Event, type="recurring_issue.created", channel="workspace:{workspace_id}"):
    """A recurring issue was created."""

    id: str


class RecurringIssueUpdated(Event, type="recurring_issue.updated", channel="workspace:{workspace_id}"):
    """A recurring issue was updated, or disabled because its schedule can no longer be read."""

    id: str


class RecurringIssueDeleted(Event, type="recurring_issue.deleted", channel="workspace:{workspace_id}"):
    """A recurring issue was deleted."""

    id: str
