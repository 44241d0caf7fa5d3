"""Approvals of one crew or agent, newest first."""

from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for owner in ("crew", "agent"):
        op.create_index(f"approvals_{owner}_idx", "approvals", ["workspace_id", f"{owner}_id", "created_at", "id"])
