"""GraphQL: recurring issues."""

import strawberry

from models.work.recurring_issues import RecurringIssue
from resolvers.work import recurring_issues as recurring_ops
from schema.bridge.fields import mutation, node, query


@node(RecurringIssue)
class RecurringIssueType:
    """A template that creates issues on a cron schedule."""

    fields = """
        id crew_id crew crew_name title description priority priority_level project_id project milestone_id milestone
        assignee_type assignee_id assignee labels_json cron_expression time_zone enabled next_run last_run run_count
        creator created_at updated_at version
    """
    priority_level = strawberry.field(description="Null if `priority` is an arbitrary text.")
    crew = strawberry.field(description="Null if deleted.")
    crew_name: str | None
    assignee_type = strawberry.field(description="user, agent, or an arbitrary text.")
    assignee_id: str | None
    assignee = strawberry.field(description="Null unless it is a member of the workspace or an agent.")
    labels_json = strawberry.field(description="A JSON array of label ids, as sent.")
    time_zone = strawberry.field(description="The time zone of the expression; null means UTC.")
    creator = strawberry.field(description="The user in whose name issues are created.")


@strawberry.type
class RecurringIssueQuery:
    recurring_issues = query(recurring_ops.list_recurring_issues, RecurringIssueType)


@strawberry.type
class RecurringIssueMutation:
    create_recurring_issue = mutation(recurring_ops.create_recurring_issue, RecurringIssueType)
    update_recurring_issue = mutation(recurring_ops.update_recurring_issue, RecurringIssueType)
    delete_recurring_issue = mutation(recurring_ops.delete_recurring_issue)
