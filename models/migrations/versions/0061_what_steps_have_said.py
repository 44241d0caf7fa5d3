"""What a step of a run without a chat has said is kept with its outcome."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0061"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run_steps", sa.Column("said", JSONB(astext_type=sa.Text()), nullable=True))
    op.execute("ALTER TABLE run_steps DROP CONSTRAINT run_steps_size_check")
    op.create_check_constraint(
        op.f("run_steps_size_check"), "run_steps", f"GREATEST(pg_column_size(outcome), pg_column_size(said)) <= {8 << 20}"
    )
