"""Indexes of boards, and of issues by their creators."""

from models.migrations.revisions import execute

revision = "2026_12_01_9"
down_revision = "2026_12_01_8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE INDEX missions_by_status_rank_idx ON missions (workspace_id, mission_type, status, rank, id);
        CREATE INDEX missions_crew_id_status_rank_idx ON missions (workspace_id, crew_id, status, rank, id);
        CREATE INDEX missions_assignee_id_rank_idx ON missions (workspace_id, assignee_id, rank, id)
            WHERE assignee_id IS NOT NULL;
        CREATE INDEX missions_created_by_id_idx ON missions (workspace_id, created_by_id, created_at, id)
            WHERE created_by_id IS NOT NULL;
    """)
