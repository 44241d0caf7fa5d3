"""Recurring issues: issues that are made again and again, as a cron expression says."""

from resolvers.kernel import Domain
from resolvers.work.recurring_issues.recurring_issues import (
    create_recurring_issue,
    delete_recurring_issue,
    list_recurring_issues,
    update_recurring_issue,
)

DOMAIN = Domain("recurring_issues", scopes="issues")
