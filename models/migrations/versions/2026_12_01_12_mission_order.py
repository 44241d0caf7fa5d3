"""An index of missions by their last change."""

from models.migrations.revisions import execute

revision = "2026_12_01_12"
down_revision = "2026_12_01_11"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("CREATE INDEX missions_workspace_id_updated_at_id_idx ON missions (workspace_id, updated_at, id)")
