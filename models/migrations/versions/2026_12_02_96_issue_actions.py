"""All rows of the timelines of issues have one of the actions."""

from models.migrations.revisions import validate

revision = "2026_12_02_96"
down_revision = "2026_12_02_95"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate("issue_activity", "issue_activity_action_check")
