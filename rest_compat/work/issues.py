"""REST: issues, their comments, relations, files, activity and runs; and what agents do with them."""

from typing import Annotated

import orjson

from models.work.issues import IssueActivity, IssueAttachment, IssueCodeLink, IssueComment
from models.work.missions import Assignment, Mission
from resolvers.kernel.declarations.operation import Answer
from resolvers.work import issues
from resolvers.work.issues import agents_files, attachments, code_links
from resolvers.work.issues.internal import AgentIssueCreated, AgentIssueUpdated
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.errors import JSON
from rest_compat.http.table import (
    DELETE,
    GET,
    PATCH,
    POST,
    Absent,
    Download,
    Fixed,
    From,
    Null,
    Reply,
    Request,
    Upload,
    Wire,
)
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


class AttachmentJSON(Wire, of=IssueAttachment):
    fields = """
        id workspace_id owner_type owner_id filename content_type size_bytes sha256 uploaded_by_user_id
        uploaded_by_agent_id uploaded_by_name created_at
    """
    owner_type: Annotated[str, Fixed('"issue"')]
    owner_id: Annotated[str, From("mission_id")]


class CodeLinkJSON(Wire, of=IssueCodeLink):
    fields = """
        id mission_id workspace_id provider host owner repo number kind url title state author source_branch
        target_branch remote_created_at remote_updated_at remote_merged_at remote_closed_at credential_id
        last_synced_at last_sync_error created_at updated_at
    """


def _answers_attachment(request: Request, answer: Answer) -> Reply:
    """200 if the issue had the file (contract: issues.attachments_create)."""
    body = answer.body or b"{}"
    headers = [JSON, (b"idempotent-replayed", b"true")] if answer.replayed else [JSON]
    return Reply(200 if orjson.loads(body).get("already_attached") else 201, body, headers)


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
    GET(f"{ISSUE}/attachments", issues.list_attachments, list[AttachmentJSON]),
    POST(
        f"{ISSUE}/attachments",
        issues.attach_to_issue,
        issues.AttachedToIssue,
        status=201,
        or_status=200,
        answers=_answers_attachment,
        body=Upload(attachments.MOST_SENT, instead_of="content_base64", form=attachments.FIELD),
    ),
    GET(f"{ISSUE}/attachments/{{attachmentId}}", issues.get_attachment, gives=Download()),
    DELETE(f"{ISSUE}/attachments/{{attachmentId}}", issues.delete_attachment, attachments.AttachmentDeleted),
    GET(f"{ISSUE}/code-links", issues.list_code_links, list[CodeLinkJSON]),
    POST(f"{ISSUE}/code-links", issues.link_code, CodeLinkJSON, status=201),
    POST(f"{ISSUE}/code-links/{{linkId}}/refresh", issues.refresh_code_link, CodeLinkJSON),
    DELETE(f"{ISSUE}/code-links/{{linkId}}", issues.delete_code_link, code_links.CodeLinkDeleted),
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
    GET(f"{INTERNAL}/{{identifier}}/attachments", issues.list_agent_attachments, list[agents_files.AgentAttachment]),
    POST(
        f"{INTERNAL}/{{identifier}}/attachments",
        issues.attach_as_agent,
        agents_files.AgentAttachment,
        status=201,
        or_status=200,
        answers=_answers_attachment,
        reads=workspace_in_body,
        body_limit=agents_files.MOST_BODY,
    ),
    GET(
        f"{INTERNAL}/{{identifier}}/attachments/{{attachmentId}}",
        issues.get_agent_attachment,
        agents_files.AgentAttachmentContent,
    ),
    POST(
        f"{INTERNAL}/{{identifier}}/relations",
        issues.relate_as_agent,
        agents_files.RelatedByAgent,
        status=201,
        reads=workspace_in_body,
    ),
)
