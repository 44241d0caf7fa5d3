"""GraphQL: recurring issues."""

from datetime import datetime

import strawberry

from models.work.recurring_issues import RecurringIssue
from resolvers.work import recurring_issues as recurring_ops
from schema.bridge.fields import Edge, mutation, node, query
from schema.bridge.results import DeletedType


@node(RecurringIssue)
class RecurringIssueType:
    """A template from which issues are made, whenever its cron expression says."""

    id: strawberry.ID
    crew_id: strawberry.ID
    crew: Edge | None = strawberry.field(description="Null if it was deleted.")
    crew_name: str | None
    title: str
    description: str | None
    priority: str
    project_id: strawberry.ID | None
    project: Edge | None
    milestone_id: strawberry.ID | None
    milestone: Edge | None
    assignee_type: str | None = strawberry.field(description="user, agent, or an arbitrary text.")
    assignee_id: str | None
    assignee: Edge | None = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    labels_json: str | None = strawberry.field(description="A JSON array of ids of labels, as it was sent.")
    cron_expression: str
    time_zone: str | None = strawberry.field(description="In which the expression is read; null stands for UTC.")
    enabled: bool
    next_run: datetime | None
    last_run: datetime | None
    run_count: int
    creator: Edge | None = strawberry.field(description="In whose name the issues are made.")
    created_at: datetime
    updated_at: datetime
    version: int


@strawberry.type
class RecurringIssueQuery:
    recurring_issues = query(recurring_ops.list_recurring_issues, RecurringIssueType)


@strawberry.type
class RecurringIssueMutation:
    create_recurring_issue = mutation(recurring_ops.create_recurring_issue, RecurringIssueType)
    update_recurring_issue = mutation(recurring_ops.update_recurring_issue, RecurringIssueType)
    delete_recurring_issue = mutation(recurring_ops.delete_recurring_issue, DeletedType)
