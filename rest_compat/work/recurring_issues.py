"""REST: recurring issues."""

from typing import Annotated

from models.work.recurring_issues import RecurringIssue
from resolvers.work import recurring_issues
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, Wire


class CreatedRecurringIssueJSON(Wire, of=RecurringIssue):
    fields = """
        id crew_id title description priority project_id milestone_id assignee_type assignee_id labels_json
        cron_expression time_zone enabled next_run last_run run_count created_at
    """
    absent = "time_zone"


class RecurringIssueJSON(CreatedRecurringIssueJSON, of=RecurringIssue):
    crew_name: Annotated[str | None, Absent()]


RECURRING = "/api/v1/recurring-issues"
ROUTES = (
    GET(RECURRING, recurring_issues.list_recurring_issues, list[RecurringIssueJSON]),
    POST(RECURRING, recurring_issues.create_recurring_issue, CreatedRecurringIssueJSON, status=201),
    PATCH(f"{RECURRING}/{{recurringId}}", recurring_issues.update_recurring_issue, RecurringIssueJSON),
    DELETE(f"{RECURRING}/{{recurringId}}", recurring_issues.delete_recurring_issue, status=204),
)
