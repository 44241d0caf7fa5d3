"""GraphQL: issues, and what hangs on them."""

from datetime import datetime

import strawberry

from models.actors import ActorType
from models.work.issues import ActivityAction, IssueActivity, IssueComment, RelationType
from models.work.missions import Assignment, AssignmentStatus, AuthoredVia, MissionStatus
from resolvers.work import issues as issue_ops
from resolvers.work.issues.graph import ISSUE_ROWS
from resolvers.work.issues.work import ReviewAction
from schema.bridge.fields import Edge, Edges, mutation, node, output, query
from schema.bridge.results import DeletedType


@node(ISSUE_ROWS)
class IssueType:
    """A piece of work for a crew. An issue is a mission, and is worked on like one."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID
    crew: Edge | None
    number: int | None
    identifier: str | None = strawberry.field(
        description="Prefix of the crew and number, such as ENG-42; unique in the workspace.",
    )
    title: str
    description: str | None
    status: MissionStatus
    priority: str = strawberry.field(description="none, low, medium, high, urgent, or an arbitrary text.")
    assignee_type: str | None = strawberry.field(description="user, agent, or an arbitrary text.")
    assignee_id: str | None
    assignee: Edge | None = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    assignee_name: str | None = strawberry.field(description="Null unless the assignee is a user or an agent.")
    due_date: str | None = strawberry.field(description="A text as sent; by convention YYYY-MM-DD.")
    estimate: int | None
    sort_order: float
    lead_agent_id: strawberry.ID
    lead_agent: Edge | None
    project_id: strawberry.ID | None
    project: Edge | None
    milestone_id: strawberry.ID | None
    milestone: Edge | None
    parent_issue_id: strawberry.ID | None
    parent_issue: Edge | None
    sub_issues: Edges
    sub_issues_count: int
    labels: Edges
    comments: Edges
    comment_count: int
    relations: Edges
    activity: Edges
    model_calls: Edges = strawberry.field(description="Calls of models by runs of its tasks, newest first.")
    budgets: Edges
    created_by_type: ActorType | None
    created_by_id: str | None
    creator: Edge | None = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    created_by_name: str | None
    authored_via: AuthoredVia | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = strawberry.field(
        description="Last time the issue was completed; kept if it is reopened.",
    )
    version: int


@node(IssueComment)
class IssueCommentType:
    """A comment of a user or an agent on an issue."""

    id: strawberry.ID
    mission_id: strawberry.ID
    issue: Edge
    author_type: ActorType
    author_id: str
    author: Edge | None
    author_name: str | None
    body: str
    created_at: datetime
    updated_at: datetime


@node(IssueActivity)
class IssueActivityType:
    """A change of an issue."""

    id: strawberry.ID
    mission_id: strawberry.ID
    actor_type: ActorType
    actor_id: str
    actor: Edge | None
    actor_name: str | None
    action: ActivityAction
    details: str | None
    created_at: datetime


@node(issue_ops.IssueRelationView, name="IssueRelation")
class IssueRelationType:
    """A relation as seen from one of its ends: `relationType` is the relation of that end to the target."""

    id: strawberry.ID
    source_id: strawberry.ID = strawberry.field(
        description="Source as stored, regardless of the end the relation is read from.",
    )
    target_id: strawberry.ID
    relation_type: RelationType
    target_identifier: str | None
    target_title: str
    target_status: MissionStatus
    created_at: datetime


@node(Assignment)
class AssignmentType:
    """A piece of work assigned to an agent."""

    id: strawberry.ID
    status: AssignmentStatus
    mission: Edge | None = strawberry.field(description="Null for an assignment of a chat.")
    mission_task: Edge | None = strawberry.field(description="Null for planning, and for work that was handed on.")
    runs: Edges
    agent: Edge | None
    agent_name: str | None
    task: str
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int
    result_summary: str | None
    error_message: str | None
    created_at: datetime


@output(issue_ops.BulkUpdated)
class BulkUpdatedType:
    updated: int


@output(issue_ops.RelationCreated, name="IssueRelationCreated")
class RelationCreatedType:
    id: strawberry.ID
    status: str


@output(issue_ops.RelationDeleted, name="IssueRelationDeleted")
class RelationDeletedType:
    status: str


@output(issue_ops.WorkState, name="IssueWorkState")
class WorkStateType:
    """The state of the work on an issue."""

    status: MissionStatus
    identifier: str


@output(issue_ops.Reviewed, name="IssueReviewed")
class ReviewedType:
    status: str
    action: ReviewAction


@strawberry.type
class IssueQuery:
    issues = query(issue_ops.list_issues, IssueType)
    issue = query(issue_ops.get_issue, IssueType)
    issue_in_crew = query(issue_ops.get_issue_in_crew, IssueType)
    sub_issues = query(issue_ops.list_sub_issues, IssueType)
    issue_comments = query(issue_ops.list_comments, IssueCommentType)
    issue_relations = query(issue_ops.list_relations, IssueRelationType)
    issue_activity = query(issue_ops.list_activity, IssueActivityType)
    issue_runs = query(issue_ops.list_issue_runs, AssignmentType)


@strawberry.type
class IssueMutation:
    create_issue = mutation(issue_ops.create_issue, IssueType)
    update_issue = mutation(issue_ops.update_issue, IssueType)
    update_issues = mutation(issue_ops.bulk_update, BulkUpdatedType)
    delete_issue = mutation(issue_ops.delete_issue, DeletedType)
    start_issue = mutation(issue_ops.start_issue, WorkStateType)
    stop_issue = mutation(issue_ops.stop_issue, WorkStateType)
    review_issue = mutation(issue_ops.review_issue, ReviewedType)
    create_issue_comment = mutation(issue_ops.create_comment, IssueCommentType)
    create_issue_relation = mutation(issue_ops.create_relation, RelationCreatedType)
    delete_issue_relation = mutation(issue_ops.delete_relation, RelationDeletedType)
