"""Runs whose network is restricted, and assignments that such runs have given."""

import sqlalchemy as sa
from alembic import op

revision = "0094"
down_revision = "0093"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("runs", "assignments"):
        op.add_column(table, sa.Column("restricted", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("UPDATE runs SET restricted = true WHERE trigger_type = 'WEBHOOK' AND status = 'RUNNING'")


def downgrade() -> None:
    raise NotImplementedError
