"""builds of crews"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0084"
down_revision = "0083"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("crews", sa.Column("build", postgresql.JSONB(), nullable=True))
    op.execute(
        "ALTER TABLE crews DROP CONSTRAINT crews_size_check, ADD CONSTRAINT crews_size_check"
        " CHECK (pg_column_size(allowed_domains) <= 1048576 AND pg_column_size(build) <= 262144)"
    )
