"""ends of tokens, also of those that nothing renews"""

from alembic import op

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP INDEX credentials_oauth_expires_at_idx")
    op.execute(
        "CREATE INDEX credentials_oauth_expires_at_idx ON credentials (oauth_expires_at)"
        " WHERE status = 'ACTIVE' AND oauth_expires_at IS NOT NULL AND deleted_at IS NULL"
    )
