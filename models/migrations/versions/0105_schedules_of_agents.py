"""Agents whose schedule is due are found by an index."""

from alembic import op

revision = "0105"
down_revision = "0104"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX agents_schedule_next_run_idx ON agents (schedule_next_run, id)"
        " WHERE schedule_next_run IS NOT NULL AND deleted_at IS NULL"
    )


def downgrade() -> None:
    raise NotImplementedError
