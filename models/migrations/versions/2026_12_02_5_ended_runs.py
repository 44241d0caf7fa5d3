"""An index of the runs that have ended, the last one first."""

from models.migrations.revisions import build_index

revision = "2026_12_02_5"
down_revision = "2026_12_02_4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index(
        "runs_ended_list_idx", "runs (workspace_id, finished_at DESC, id DESC) WHERE finished_at IS NOT NULL"
    )
