"""The hosts that a credential is for."""

from alembic import op

revision = "0101"
down_revision = "0100"
branch_labels = None
depends_on = None

BOUNDED = """
    ALTER TABLE credentials
        ADD COLUMN hosts jsonb NOT NULL DEFAULT '[]',
        DROP CONSTRAINT credentials_size_check,
        ADD CONSTRAINT credentials_size_check CHECK (
            GREATEST(octet_length(value), octet_length(refresh_token), octet_length(oauth_client_secret)) <= 256128
            AND GREATEST(pg_column_size(tags), pg_column_size(last_used_ips)) <= 262144
            AND pg_column_size(hosts) <= 4096
        )
"""


def upgrade() -> None:
    op.execute(BOUNDED)


def downgrade() -> None:
    raise NotImplementedError
