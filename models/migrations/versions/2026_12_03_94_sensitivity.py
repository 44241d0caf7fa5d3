"""The constraint of the sensitivity holds for all credentials."""

from models.migrations.revisions import validate

revision = "2026_12_03_94"
down_revision = "2026_12_03_93"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate("credentials", "credentials_sensitivity_check")
