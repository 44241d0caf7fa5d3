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

    fields = """
        id workspace_id crew_id number identifier title description status priority assignee_type assignee_id due_date
        sort_order mission_type lead_agent_id created_at updated_at completed_at labels project_id estimate
        parent_issue_id milestone_id sub_issues_count comment_count created_by authored_via
    """
    absent = "authored_via"
    labels: Annotated[list[LabelJSON], Fixed("[]")]
    project_id: Annotated[str | None, Null()]
    sub_issues_count: Annotated[int, Fixed("0")]
    comment_count: Annotated[int, Fixed("0")]
    created_by: Annotated[CreatorJSON | None, Absent()]


class AgentsIssueJSON(CreatedIssueJSON, of=Mission):
    """An issue as agents read it (contract: internal.issues.get)."""

    fields = "crew_name crew_slug labels project_id sub_issues_count comment_count"
    crew_name: Annotated[str | None, Absent()]
    crew_slug: Annotated[str | None, Absent()]
    labels: list[LabelJSON]


class IssueJSON(AgentsIssueJSON, of=Mission):
    assignee_name: Annotated[str | None, Absent()]


class AgentsCommentJSON(Wire, of=IssueComment):
    fields = "id mission_id author_type author_id body created_at updated_at"


class CommentJSON(AgentsCommentJSON, of=IssueComment):
    author_name: Annotated[str | None, Absent()]


class ActivityJSON(Wire, of=IssueActivity):
    fields = "id mission_id actor_type actor_id actor_name action details created_at"
    absent = "actor_name"


class RelationJSON(Wire, of=issues.IssueRelationView):
    fields = "id source_id target_id relation_type target_identifier target_title target_status created_at"
    absent = "target_identifier"
    id: Annotated[str, From("relation_id")]
    target_title: Annotated[str | None, Absent()]
    target_status: Annotated[str | None, Absent()]


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
