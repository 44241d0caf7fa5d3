"""When a token was rotated: another one has taken its place."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cli_tokens", sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True))
