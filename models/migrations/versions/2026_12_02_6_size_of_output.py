"""The size of the output of a call that a runner has sent."""

from models.migrations.revisions import execute

revision = "2026_12_02_6"
down_revision = "2026_12_02_5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE runner_calls ADD COLUMN shown_size integer DEFAULT 0 NOT NULL")
