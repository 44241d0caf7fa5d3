"""REST: recurring issues."""

from datetime import datetime
from typing import Annotated

from models.work.recurring_issues import RecurringIssue
from resolvers.work import recurring_issues
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, Wire


class CreatedRecurringIssueJSON(Wire, of=RecurringIssue):
    id: str
    crew_id: str
    title: str
    description: str | None
    priority: str
    project_id: str | None
    milestone_id: str | None
    assignee_type: str | None
    assignee_id: str | None
    labels_json: str | None
    cron_expression: str
    time_zone: Annotated[str | None, Absent()]
    enabled: bool
    next_run: datetime | None
    last_run: datetime | None
    run_count: int
    created_at: datetime


class RecurringIssueJSON(CreatedRecurringIssueJSON, of=RecurringIssue):
    crew_name: Annotated[str | None, Absent()]


RECURRING = "/api/v1/recurring-issues"
ROUTES = (
    GET(RECURRING, recurring_issues.list_recurring_issues, list[RecurringIssueJSON]),
    POST(RECURRING, recurring_issues.create_recurring_issue, CreatedRecurringIssueJSON, status=201),
    PATCH(f"{RECURRING}/{{recurringId}}", recurring_issues.update_recurring_issue, RecurringIssueJSON),
    DELETE(f"{RECURRING}/{{recurringId}}", recurring_issues.delete_recurring_issue, status=204),
)
