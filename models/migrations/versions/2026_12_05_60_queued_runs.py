"""Runs of routines that have not begun: their time, place, batch and chain."""

from models.migrations.revisions import execute

revision = "2026_12_05_60"
down_revision = "2026_12_05_51"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE routine_runs
            ADD COLUMN batch_id varchar(200),
            ADD COLUMN fire_at timestamptz,
            ADD COLUMN expires_at timestamptz,
            ADD COLUMN priority integer DEFAULT 0 NOT NULL,
            ADD COLUMN debounce_key varchar(200),
            ADD COLUMN merges integer DEFAULT 0 NOT NULL;
    """)
