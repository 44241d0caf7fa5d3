"""An index of the items that keep hand overs."""

from models.migrations.revisions import build_index

revision = "2026_12_02_91"
down_revision = "2026_12_02_6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index(
        "inbox_items_handovers_idx",
        "inbox_items (workspace_id, source_id)"
        " WHERE kind = 'message' AND state = 'read' AND starts_with(source_id, 'handover:')",
    )
