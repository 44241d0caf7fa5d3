"""Issues, and what orders them: projects, milestones, triage rules, recurring issues, workflow templates."""

from typing import Literal

from models.missions import MissionStatus
from resolvers.announcements.agents import AgentSlug
from resolvers.kernel import Event

IssueStatus = Literal[
    MissionStatus.BACKLOG, MissionStatus.TODO, MissionStatus.IN_PROGRESS, MissionStatus.REVIEW, MissionStatus.DONE, MissionStatus.FAILED,
    MissionStatus.CANCELLED, MissionStatus.DUPLICATE,
]  # fmt: skip
"""The states of a mission that an issue takes (contract: issues.IssueStatus)."""


class IssueCreated(Event, type="issue.created", channel="workspace:{workspace_id}", planned=True):
    """A user has created an issue."""

    id: str


class IssueCreatedByService(Event, type="issue.created", channel="workspace:{workspace_id}", planned=True):
    """An agent has created an issue, or a recurring one has come due."""

    id: str
    identifier: str
    title: str


class IssueUpdated(Event, type="issue.updated", channel="workspace:{workspace_id}", planned=True):
    """An issue was changed, commented on, related to another, reviewed, stopped or assigned.

    `identifier` comes with reviews, stops and what agents do, `status` with stops, `assignee` with assignments.
    """

    id: str
    identifier: str | None = None
    status: IssueStatus | None = None
    assignee: AgentSlug | None = None


class IssueDeleted(Event, type="issue.deleted", channel="workspace:{workspace_id}", planned=True):
    """An issue was deleted."""

    identifier: str


class IssueStarted(Event, type="issue.started", channel="workspace:{workspace_id}", planned=True):
    """Work on an issue was started."""

    id: str
    identifier: str
    status: Literal[MissionStatus.IN_PROGRESS]


class IssuesBulkUpdated(Event, type="issues.bulk_updated", channel="workspace:{workspace_id}", planned=True):
    """Several issues were changed at once; `count` says how many, as text. Not sent when none was."""

    count: str


class ProjectCreated(Event, type="project.created", channel="workspace:{workspace_id}", planned=True):
    """A project was created."""

    id: str


class ProjectUpdated(Event, type="project.updated", channel="workspace:{workspace_id}", planned=True):
    """A project was changed."""

    id: str


class ProjectDeleted(Event, type="project.deleted", channel="workspace:{workspace_id}", planned=True):
    """A project was deleted."""

    id: str


class MilestoneCreated(Event, type="milestone.created", channel="workspace:{workspace_id}", planned=True):
    """A milestone was added to a project."""

    id: str
    project_id: str


class MilestoneUpdated(Event, type="milestone.updated", channel="workspace:{workspace_id}", planned=True):
    """A milestone was changed."""

    id: str
    project_id: str


class MilestoneDeleted(Event, type="milestone.deleted", channel="workspace:{workspace_id}", planned=True):
    """A milestone was deleted."""

    id: str
    project_id: str


class TriageRuleCreated(Event, type="triage_rule.created", channel="workspace:{workspace_id}", planned=True):
    """A rule for new issues was created."""

    id: str


class TriageRuleUpdated(Event, type="triage_rule.updated", channel="workspace:{workspace_id}", planned=True):
    """A rule for new issues was changed."""

    id: str


class TriageRuleDeleted(Event, type="triage_rule.deleted", channel="workspace:{workspace_id}", planned=True):
    """A rule for new issues was deleted."""

    id: str


class TriageProcessed(Event, type="triage.processed", channel="workspace:{workspace_id}", planned=True):
    """The triage rules were run and at least one issue matched; both are numbers of issues, as text."""

    processed: str
    matched: str


class RecurringIssueCreated(Event, type="recurring_issue.created", channel="workspace:{workspace_id}", planned=True):
    """An issue that comes again and again was planned."""

    id: str


class RecurringIssueUpdated(Event, type="recurring_issue.updated", channel="workspace:{workspace_id}", planned=True):
    """The plan of a recurring issue was changed."""

    id: str


class RecurringIssueDeleted(Event, type="recurring_issue.deleted", channel="workspace:{workspace_id}", planned=True):
    """A recurring issue will not come again."""

    id: str


class WorkflowTemplateCreated(Event, type="workflow_template.created", channel="workspace:{workspace_id}", planned=True):
    """A workflow template was created."""

    id: str


class WorkflowTemplateUpdated(Event, type="workflow_template.updated", channel="workspace:{workspace_id}", planned=True):
    """A workflow template was changed."""

    id: str


class WorkflowTemplateDeleted(Event, type="workflow_template.deleted", channel="workspace:{workspace_id}", planned=True):
    """A workflow template was deleted."""

    id: str
