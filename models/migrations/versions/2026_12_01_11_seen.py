"""A membership knows when the user has last seen what is new."""

from models.migrations.revisions import execute

revision = "2026_12_01_11"
down_revision = "2026_12_01_10"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE memberships ADD seen_at timestamptz")
