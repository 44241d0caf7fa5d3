"""The browser that a consent was begun in. Consents that are under way begin anew."""

import sqlalchemy as sa
from alembic import op

revision = "0096"
down_revision = "0095"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM oauth_states")
    op.add_column("oauth_states", sa.Column("browser_hash", sa.String(length=200), nullable=True))


def downgrade() -> None:
    raise NotImplementedError
