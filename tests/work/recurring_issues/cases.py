"""Cases of recurring issues, for the tests that are made for every operation."""

from datetime import UTC, datetime

from models.work.recurring_issues import RecurringIssue
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


def _recurring(plot: Plot, kind: str, id: str) -> RecurringIssue:
    return RecurringIssue(
        crew_id=plot["crew"].id,
        title="Caulk the seams",
        description="All of them",
        project_id=plot["project"].id,
        milestone_id=plot["milestone"].id,
        assignee_type=kind,
        assignee_id=id,
        labels_json="[]",
        cron_expression="0 9 * * MON",
        time_zone="Europe/Berlin",
        next_run=datetime(2999, 1, 1, tzinfo=UTC),
        last_run=datetime(2026, 1, 1, tzinfo=UTC),
        created_by=plot.owner.user_id,
        **plot.here,
    )


@entity
def recurring_issue(plot: Plot) -> RecurringIssue:
    return _recurring(plot, "agent", plot["agent"].id)


@entity
def recurring_issue_of_user(plot: Plot) -> RecurringIssue:
    return _recurring(plot, "user", plot.owner.user_id)


IDS = {"recurring_id": "recurring_issue"}
LABELS = {"labels_json": '["clabel"]'}  # ids of labels, and no secret
RECIPES = {
    "recurring_issues.create": Recipe(LABELS | {"cron_expression": "0 9 * * 1"}),
    "recurring_issues.update": Recipe(LABELS | {"title": "Pay the seams"}),
}
