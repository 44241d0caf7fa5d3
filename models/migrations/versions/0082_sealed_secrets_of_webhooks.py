"""secrets of webhooks are sealed

Nobody has been shown one before: they are forgotten, and a rotation makes another.
"""

from alembic import op

revision = "0082"
down_revision = "0081"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE agents DROP COLUMN webhook_secret")
    op.execute("ALTER TABLE agents ADD COLUMN webhook_secret bytea")
    op.execute(
        "ALTER TABLE agents"
        " ADD CONSTRAINT agents_webhook_secret_check CHECK (substring(webhook_secret FROM 1 FOR 1) = '\\xff'::bytea),"
        " ADD CONSTRAINT agents_size_check CHECK (octet_length(webhook_secret) <= 928)"
    )
