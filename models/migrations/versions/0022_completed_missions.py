"""Charts ask for the missions that were completed in a window, or are not completed at all."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("missions_workspace_id_completed_at_idx", "missions", ["workspace_id", "completed_at"])
