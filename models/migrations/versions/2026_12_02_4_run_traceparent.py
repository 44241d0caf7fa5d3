"""A run names the trace of the caller that asked for it."""

from models.migrations.revisions import execute

revision = "2026_12_02_4"
down_revision = "2026_12_02_3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE runs ADD traceparent varchar(200)")
