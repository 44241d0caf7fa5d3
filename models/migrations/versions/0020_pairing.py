"""Codes that pair the command line with an account."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE pairings (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        code_hash varchar(200) NOT NULL UNIQUE,
        adapter_hint varchar(32),
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        consumed_at timestamptz
    )
    """,
    "CREATE INDEX pairings_user_id_idx ON pairings (user_id)",
    "CREATE INDEX pairings_expires_at_idx ON pairings (expires_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
