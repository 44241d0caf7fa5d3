"""Events about issues."""

from typing import Annotated, Literal

from models.work.missions import MissionStatus
from resolvers.kernel import Drawn, Event
from resolvers.kernel.declarations.events import Distinct
from resolvers.kernel.declarations.row_events import OF_MEMBERS
from resolvers.staff.agents.events import AgentSlug


class IssueCreated(Event, type="issue.created", channel="workspace:{workspace_id}"):
    """An issue was created by a user."""

    id: str


class IssueCreatedByService(Event, type="issue.created", channel="workspace:{workspace_id}"):
    """An agent or a recurring issue created an issue."""

    id: str
    identifier: Drawn[str]
    title: str


class IssueUpdated(Event, type="issue.updated", channel="workspace:{workspace_id}"):
    """An issue was updated, commented on, related to another one, reviewed, stopped or assigned.

    `identifier` is sent with reviews, stops and what agents do, `status` with stops, `assignee` with assignments.
    """

    id: str
    identifier: Annotated[str | None, Distinct("issue_identifier")] = None
    status: Annotated[MissionStatus | None, Distinct("issue_status")] = None
    assignee: AgentSlug | None = None


class IssueRelationDeletedEvent(Event, type="issue_relation.deleted", channel=OF_MEMBERS):
    """A relation between two issues was deleted."""

    id: str
    source_id: str
    target_id: str


class IssueDeleted(Event, type="issue.deleted", channel="workspace:{workspace_id}"):
    """An issue was deleted."""

    identifier: str


class IssueStarted(Event, type="issue.started", channel="workspace:{workspace_id}"):
    """Work on an issue was started."""

    id: str
    identifier: str
    status: Annotated[Literal[MissionStatus.IN_PROGRESS], Distinct("issue_status")]


class IssuesBulkUpdated(Event, type="issues.bulk_updated", channel="workspace:{workspace_id}"):
    """Several issues were updated at once; `count` is their number, as text. Not sent if no issue was updated."""

    count: str
