"""The timeline of an issue."""

from typing import Any

from sqlmodel import col

from models.work.issues import ActivityAction, IssueActivity
from models.work.missions import Mission
from resolvers.kernel import Action, Actor, Context, QueryScope, Row, Rows, query
from resolvers.work.issues.graph import LAST_CHANGES
from resolvers.work.issues.naming import ISSUE_OF_CREW, OfCrew
from resolvers.work.missions.moving import record


def record_changes(ctx: Context, issue: Mission, actor: Actor, sent: dict[str, Any]) -> None:
    """One row each for the assignee and the priority that were sent; a new state has one already (contract:
    issues.update).
    """
    if "assignee_id" in sent:
        record(ctx, issue.id, actor, ActivityAction.assignee_changed, f"assignee_id: {sent['assignee_id'] or ''}")
    if "priority" in sent:
        record(ctx, issue.id, actor, ActivityAction.priority_changed, sent["priority"])


@query("issues.activity", Action.READ, subject=ISSUE_OF_CREW)
def list_activity(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Rows[IssueActivity]:
    """List the activity of an issue.

    Returns the last 50 changes, newest first.
    """
    rows = scope.children(issue, IssueActivity, "mission_id")
    return rows.order_by(col(IssueActivity.created_at).desc(), col(IssueActivity.id).desc()).limit(LAST_CHANGES)
