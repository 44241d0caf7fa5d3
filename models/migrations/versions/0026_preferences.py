"""Preferences of users."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE preferences (
            id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
            key varchar(64) NOT NULL,
            value jsonb,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT preferences_user_id_key_key UNIQUE (user_id, key),
            CONSTRAINT preferences_size_check CHECK (pg_column_size(value) <= 262144)
        )
        """
    )
