"""A run notes since when it is known to be stuck."""

from models.migrations.revisions import execute

revision = "2026_12_01_23"
down_revision = "2026_12_01_22"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE runs ADD stuck_at timestamptz")
    execute("""
        CREATE INDEX runs_stuck_idx ON runs (leased_until) WHERE stuck_at IS NOT NULL AND status = 'RUNNING';
    """)
