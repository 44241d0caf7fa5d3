"""Issues of one priority, or at one place, come newest first."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("priority", "sort_order"):
        name = f"missions_by_{column}_idx"
        op.drop_index(name, "missions")
        op.create_index(name, "missions", ["workspace_id", "mission_type", column, "created_at", "id"])
