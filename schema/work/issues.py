"""GraphQL: issues and their parts."""

from datetime import datetime

import strawberry

from models.work.issues import IssueActivity, IssueAttachment, IssueCodeLink, IssueComment
from models.work.missions import Assignment
from resolvers.work import issues as issue_ops
from resolvers.work.issues.attachments import AttachmentDeleted
from resolvers.work.issues.code_links import CodeLinkDeleted
from resolvers.work.issues.graph import ISSUE_ROWS
from schema.bridge.fields import Edge, acts, mutation, node, output, query

output(issue_ops.RelationCreated, name="IssueRelationCreated")
output(issue_ops.RelationDeleted, name="IssueRelationDeleted", properties={"relation_id": strawberry.ID})
output(issue_ops.AttachedToIssue, name="IssueFileAttached", fields={"owner_id": strawberry.ID})
output(AttachmentDeleted, name="IssueAttachmentDeleted", properties={"attachment_id": strawberry.ID})
output(CodeLinkDeleted, name="IssueCodeLinkDeleted", properties={"link_id": strawberry.ID})
output(issue_ops.BulkUpdated, properties={"not_found": list[strawberry.ID]})
output(issue_ops.WorkState, name="IssueWorkState")
output(issue_ops.Reviewed, name="IssueReviewed")


@node(ISSUE_ROWS)
class IssueType:
    """Work for a crew. An issue is a mission and is worked on like one."""

    fields = """
        id workspace_id crew_id crew number identifier title description status next_statuses priority priority_level
        assignee_type
        assignee_id assignee assignee_name due_date estimate sort_order rank lead_agent_id lead_agent project_id project
        milestone_id milestone parent_issue_id parent_issue sub_issues sub_issues_count labels
        comments comment_count relations attachments code_links activity changes assignments runs model_calls budgets
        created_by_type created_by_id creator created_by_name authored_via created_at updated_at completed_at version
        viewer_can
    """
    viewer_can = acts()
    identifier = strawberry.field(
        description="Prefix of the crew and number, such as ENG-42; unique in the workspace.",
    )
    next_statuses = strawberry.field(description="The statuses that `updateIssue` and `moveIssue` can set in one step.")
    priority = strawberry.field(description="none, low, medium, high, urgent, or an arbitrary text.")
    priority_level = strawberry.field(description="Null if `priority` is an arbitrary text.")
    activity = strawberry.field(description="The newest 1,000; `changes` has all, in pages.")
    assignee_type = strawberry.field(description="user, agent, or an arbitrary text.")
    assignee_id: str | None
    assignee = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    assignee_name = strawberry.field(description="Null unless the assignee is a user or an agent.")
    rank = strawberry.field(description="The place on boards, which `moveIssue` sets: compared as text, byte by byte.")
    due_date = strawberry.field(description="A text as sent; by convention YYYY-MM-DD.")
    model_calls = strawberry.field(description="Calls of models by runs of its tasks, newest first.")
    created_by_id: str | None
    creator = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    completed_at = strawberry.field(
        description="Last time the issue was completed; kept if it is reopened.",
    )


@node(IssueComment)
class IssueCommentType:
    """A comment of a user or an agent on an issue."""

    fields = "id mission_id issue author_type author_id author author_name body created_at updated_at"
    issue: Edge
    author_id: str


@node(IssueAttachment)
class IssueAttachmentType:
    """A file of an issue. `issues.attachments_get` of REST sends its content."""

    fields = """
        id mission_id issue filename content_type size_bytes sha256 uploaded_by_user_id uploader uploaded_by_agent_id
        agent uploaded_by_name created_at
    """
    issue: Edge
    content_type = strawberry.field(description="Determined by the end of the name.")
    sha256 = strawberry.field(description="SHA-256 of the content, in hexadecimal digits.")
    uploaded_by_user_id: strawberry.ID | None = strawberry.field(
        description="Null if an agent attached it or the account was deleted.",
    )


@node(IssueCodeLink)
class IssueCodeLinkType:
    """A pull request of an issue, in the state of the last look."""

    fields = """
        id mission_id issue provider host owner repo number kind url title state author source_branch target_branch
        remote_created_at remote_updated_at remote_merged_at remote_closed_at credential_id last_synced_at
        last_sync_error created_at updated_at
    """
    issue: Edge
    owner = strawberry.field(description="At GitLab all groups, separated by slashes.")
    remote_created_at = strawberry.field(description="As its host writes it, like the other times of the host.")
    credential_id: strawberry.ID | None = strawberry.field(description="The credential of the last look.")
    last_sync_error = strawberry.field(description="Why the last look failed; null if it did not.")


@node(IssueActivity)
class IssueActivityType:
    """A change of an issue."""

    fields = "id mission_id actor_type actor_id actor actor_name action details created_at"
    actor_id: str


@node(issue_ops.IssueCount)
class IssueCountType:
    """The number of issues that have one status, assignee, priority or project."""

    fields = "key assignee project count"
    assignee = strawberry.field(description="Null unless counted by assignee, and it is a member or an agent.")
    project = strawberry.field(description="Null unless counted by project.")


@node(issue_ops.IssueRelationView, name="IssueRelation")
class IssueRelationType:
    """A relation as seen from one of its ends: `relationType` is the relation of that end to the target."""

    fields = """
        id relation_id source_id target_id relation_type target_identifier target_title target_status created_at
    """
    id = strawberry.field(description="Differs between the two ends; `deleteIssueRelation` takes each.")
    relation_id = strawberry.field(description="The same at both ends.")
    source_id = strawberry.field(
        description="The stored source, regardless of the end that is read.",
    )
    created_at: datetime


@node(Assignment)
class AssignmentType:
    """A piece of work assigned to an agent."""

    fields = """
        id status mission mission_task runs agent agent_name task started_at finished_at duration_ms result_summary
        error_message created_at
    """
    mission = strawberry.field(description="Null for an assignment of a chat.")
    mission_task = strawberry.field(description="Null for planning and for delegated work.")
    agent_name: str | None


@strawberry.type
class IssueQuery:
    issues = query(issue_ops.find_issues, IssueType)
    issue_counts = query(issue_ops.count_issues, IssueCountType)
    issue = query(issue_ops.find_issue, IssueType)
    issue_by_id = query(issue_ops.get_issue_by_id, IssueType)
    issue_in_crew = query(issue_ops.get_issue_in_crew, IssueType)
    sub_issues = query(issue_ops.list_sub_issues, IssueType)
    issue_comments = query(issue_ops.list_comments, IssueCommentType)
    issue_relations = query(issue_ops.list_relations, IssueRelationType)
    issue_activity = query(issue_ops.list_activity, IssueActivityType)
    issue_attachments = query(issue_ops.list_attachments, IssueAttachmentType)
    issue_code_links = query(issue_ops.list_code_links, IssueCodeLinkType)
    issue_runs = query(issue_ops.list_issue_runs, AssignmentType)


@strawberry.type
class IssueMutation:
    create_issue = mutation(issue_ops.create_issue, IssueType)
    update_issue = mutation(issue_ops.edit_issue, IssueType)
    update_issues = mutation(issue_ops.bulk_update)
    move_issue = mutation(issue_ops.move_issue, IssueType)
    delete_issue = mutation(issue_ops.delete_issue)
    start_issue = mutation(issue_ops.start_issue)
    stop_issue = mutation(issue_ops.stop_issue)
    review_issue = mutation(issue_ops.review_issue)
    create_issue_comment = mutation(issue_ops.create_comment, IssueCommentType)
    update_issue_comment = mutation(issue_ops.update_comment, IssueCommentType)
    delete_issue_comment = mutation(issue_ops.delete_comment)
    create_issue_relation = mutation(issue_ops.create_relation)
    delete_issue_relation = mutation(issue_ops.delete_relation)
    link_issue_code = mutation(issue_ops.link_code, IssueCodeLinkType)
    refresh_issue_code_link = mutation(issue_ops.refresh_code_link, IssueCodeLinkType)
    delete_issue_code_link = mutation(issue_ops.delete_code_link)
    attach_to_issue = mutation(issue_ops.attach_to_issue)
    delete_issue_attachment = mutation(issue_ops.delete_attachment)
