"""agents that wait for a restart"""

import sqlalchemy as sa
from alembic import op

revision = "0088"
down_revision = "0087"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("crews", sa.Column("agents_pending_restart", sa.Integer(), nullable=False, server_default="0"))
    op.alter_column("crews", "agents_pending_restart", server_default=None)
    op.create_index(
        "crews_pending_restart_idx",
        "crews",
        ["id"],
        unique=False,
        postgresql_where=sa.text("agents_pending_restart > 0"),
    )
