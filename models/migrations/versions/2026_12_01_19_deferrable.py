"""References to rows of the same table can be compared at the end of a transaction: a restore inserts in any order."""

from models.migrations.revisions import execute

revision = "2026_12_01_19"
down_revision = "2026_12_01_18"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE agents ALTER CONSTRAINT agents_workspace_id_parent_lead_id_fkey DEFERRABLE;
        ALTER TABLE missions ALTER CONSTRAINT missions_workspace_id_parent_issue_id_fkey DEFERRABLE;
        ALTER TABLE checkpoints ALTER CONSTRAINT checkpoints_workspace_id_fork_of_fkey DEFERRABLE;
    """)
