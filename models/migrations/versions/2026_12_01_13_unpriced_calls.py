"""An index of model calls without a known price."""

from models.migrations.revisions import execute

revision = "2026_12_01_13"
down_revision = "2026_12_01_12"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE INDEX model_calls_unpriced_idx ON model_calls (workspace_id, created_at) WHERE cost_micros IS NULL;
    """)
