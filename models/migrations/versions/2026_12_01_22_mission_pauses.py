"""Missions that people have paused: when, by whom, and for how long before."""

from models.migrations.revisions import build_index, execute

revision = "2026_12_01_22"
down_revision = "2026_12_01_21"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE missions
            ADD COLUMN paused_at timestamptz,
            ADD COLUMN paused_by text,
            ADD COLUMN paused_ms bigint DEFAULT 0 NOT NULL;
        ALTER TABLE missions ADD CONSTRAINT missions_paused_by_fkey
            FOREIGN KEY (paused_by) REFERENCES users (id) ON DELETE SET NULL NOT VALID;
        ALTER TABLE missions VALIDATE CONSTRAINT missions_paused_by_fkey;
    """)
    build_index("missions_paused_idx", "missions (workspace_id, paused_at, id) WHERE paused_at IS NOT NULL")
