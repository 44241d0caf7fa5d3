"""REST: issues, their comments, relations, activity and runs; and what agents do with them."""

from typing import Annotated

from models.work.issues import IssueActivity, IssueComment
from models.work.missions import Assignment, Mission
from resolvers.work import issues
from resolvers.work.issues.internal import AgentIssueCreated, AgentIssueUpdated
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, Fixed, From, Null, Wire
from rest_compat.work.labels import LabelJSON


class CreatorJSON(Wire, of=Mission):
    type: Annotated[str, From("created_by_type")]
    id: Annotated[str, From("created_by_id")]
    name: Annotated[str | None, From("created_by_name"), Absent()]


class CreatedIssueJSON(Wire, of=Mission):
    """A new issue. Labels are empty, counts are 0 and `project_id` is null (contract: issues.Issue)."""

    id: str
    workspace_id: str
    crew_id: str
    number: int | None
    identifier: str | None
    title: str
    description: str | None
    status: str
    priority: str
    assignee_type: str | None
    assignee_id: str | None
    due_date: str | None
    sort_order: float
    mission_type: str
    lead_agent_id: str
    created_at: str
    updated_at: str
    completed_at: str | None
    labels: Annotated[list[LabelJSON], Fixed("[]")]
    project_id: Annotated[str | None, Null()]
    estimate: int | None
    parent_issue_id: str | None
    milestone_id: str | None
    sub_issues_count: Annotated[int, Fixed("0")]
    comment_count: Annotated[int, Fixed("0")]
    created_by: Annotated[CreatorJSON | None, Absent()]
    authored_via: Annotated[str | None, Absent()]


class AgentsIssueJSON(CreatedIssueJSON, of=Mission):
    """What agents read of an issue (contract: internal.issues.get)."""

    crew_name: Annotated[str | None, Absent()]
    crew_slug: Annotated[str | None, Absent()]
    labels: list[LabelJSON]
    project_id: str | None
    sub_issues_count: int
    comment_count: int


class IssueJSON(AgentsIssueJSON, of=Mission):
    assignee_name: Annotated[str | None, Absent()]


class AgentsCommentJSON(Wire, of=IssueComment):
    id: str
    mission_id: str
    author_type: str
    author_id: str
    body: str
    created_at: str
    updated_at: str


class CommentJSON(AgentsCommentJSON, of=IssueComment):
    author_name: Annotated[str | None, Absent()]


class ActivityJSON(Wire, of=IssueActivity):
    id: str
    mission_id: str
    actor_type: str
    actor_id: str
    actor_name: Annotated[str | None, Absent()]
    action: str
    details: str | None
    created_at: str


class RelationJSON(Wire, of=issues.IssueRelationView):
    id: str
    source_id: str
    target_id: str
    relation_type: str
    target_identifier: Annotated[str | None, Absent()]
    target_title: Annotated[str | None, Absent()]
    target_status: Annotated[str | None, Absent()]
    created_at: str


class IssueRunJSON(Wire, of=Assignment):
    id: str
    status: str
    agent_name: Annotated[str | None, Absent()]
    task: Annotated[str | None, Absent()]
    started_at: Annotated[str | None, Absent()]
    ended_at: Annotated[str | None, From("finished_at"), Absent()]
    duration_ms: int
    result_summary: Annotated[str | None, From("result_line"), Absent()]
    error_message: Annotated[str | None, From("error_line"), Absent()]


ISSUE = "/api/v1/crews/{crewId}/issues/{identifier}"
INTERNAL = "/api/v1/internal/issues"

ROUTES = (
    GET("/api/v1/issues", issues.list_issues, list[IssueJSON]),
    PATCH("/api/v1/issues/bulk", issues.bulk_update, issues.BulkUpdated),
    GET("/api/v1/issues/{identifier}", issues.get_issue, IssueJSON),
    POST("/api/v1/crews/{crewId}/issues", issues.create_issue, CreatedIssueJSON, status=201),
    GET(ISSUE, issues.get_issue_in_crew, IssueJSON),
    PATCH(ISSUE, issues.update_issue, IssueJSON),
    DELETE(ISSUE, issues.delete_issue, status=204),
    POST(f"{ISSUE}/start", issues.start_issue, issues.WorkState, optional_body=True),
    POST(f"{ISSUE}/stop", issues.stop_issue, issues.WorkState, optional_body=True),
    POST(f"{ISSUE}/review", issues.review_issue, issues.Reviewed),
    GET(f"{ISSUE}/subtasks", issues.list_sub_issues, list[IssueJSON]),
    GET(f"{ISSUE}/activity", issues.list_activity, list[ActivityJSON]),
    GET(f"{ISSUE}/runs", issues.list_issue_runs, list[IssueRunJSON]),
    GET(f"{ISSUE}/comments", issues.list_comments, list[CommentJSON]),
    POST(f"{ISSUE}/comments", issues.create_comment, CommentJSON, status=201),
    GET(f"{ISSUE}/relations", issues.list_relations, list[RelationJSON]),
    POST(f"{ISSUE}/relations", issues.create_relation, issues.RelationCreated, status=201),
    DELETE("/api/v1/relations/{relationId}", issues.delete_relation, issues.RelationDeleted),
    GET(INTERNAL, issues.list_agent_issues, list[AgentsIssueJSON]),
    POST(INTERNAL, issues.create_agent_issue, AgentIssueCreated, status=201, reads=workspace_in_body),
    GET(f"{INTERNAL}/{{identifier}}", issues.get_agent_issue, AgentsIssueJSON),
    PATCH(f"{INTERNAL}/{{identifier}}", issues.update_agent_issue, AgentIssueUpdated, reads=workspace_in_body),
    POST(
        f"{INTERNAL}/{{identifier}}/comments",
        issues.create_agent_comment,
        AgentsCommentJSON,
        status=201,
        reads=workspace_in_body,
    ),
)
