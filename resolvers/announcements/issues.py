"""What makes and orders issues by itself: triage rules, recurring issues, workflow templates."""

from resolvers.kernel import Event


class TriageRuleCreated(Event, type="triage_rule.created", channel="workspace:{workspace_id}", planned=True):
    """A triage rule was created."""

    id: str


class TriageRuleUpdated(Event, type="triage_rule.updated", channel="workspace:{workspace_id}", planned=True):
    """A triage rule was updated."""

    id: str


class TriageRuleDeleted(Event, type="triage_rule.deleted", channel="workspace:{workspace_id}", planned=True):
    """A triage rule was deleted."""

    id: str


class TriageProcessed(Event, type="triage.processed", channel="workspace:{workspace_id}", planned=True):
    """The triage rules were run and matched at least one issue; both fields are numbers of issues, as text."""

    processed: str
    matched: str


class RecurringIssueCreated(Event, type="recurring_issue.created", channel="workspace:{workspace_id}", planned=True):
    """A recurring issue was created."""

    id: str


class RecurringIssueUpdated(Event, type="recurring_issue.updated", channel="workspace:{workspace_id}", planned=True):
    """A recurring issue was updated."""

    id: str


class RecurringIssueDeleted(Event, type="recurring_issue.deleted", channel="workspace:{workspace_id}", planned=True):
    """A recurring issue was deleted."""

    id: str


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
