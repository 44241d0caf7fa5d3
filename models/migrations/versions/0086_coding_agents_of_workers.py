"""coding agents of workers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0086"
down_revision = "0085"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("coding_agents", postgresql.JSONB(), nullable=True))
    op.create_check_constraint(op.f("workers_size_check"), "workers", "pg_column_size(coding_agents) <= 262144")
