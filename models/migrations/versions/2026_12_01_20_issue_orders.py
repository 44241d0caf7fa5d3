"""Indexes of issues by urgency and by due date."""

from models.migrations.revisions import build_index

revision = "2026_12_01_20"
down_revision = "2026_12_01_19"
branch_labels = None
depends_on = None

URGENCY = (
    "CASE WHEN priority = 'urgent' THEN 4 WHEN priority = 'high' THEN 3 WHEN priority = 'medium' THEN 2"
    " WHEN priority = 'low' THEN 1 ELSE 0 END"
)
DUE = "CASE WHEN due_date IS NULL THEN 'none' ELSE due_date END"


def upgrade() -> None:
    for name, key in (("urgency", URGENCY), ("due_date", DUE)):
        build_index(f"missions_by_{name}_idx", f"missions (workspace_id, mission_type, ({key}), created_at, id)")
