"""Calls of one model, newest first."""

from alembic import op

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index('model_calls_model_idx', 'model_calls', ['workspace_id', 'model', 'created_at', 'id'], unique=False)
