"""Resets of forgotten passwords, and accounts by their email in any case."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE password_resets (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        email varchar(320) NOT NULL,
        user_id text REFERENCES users ON DELETE CASCADE,
        token_hash varchar(200) UNIQUE,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL,
        used_at timestamptz
    )
    """,
    "CREATE INDEX password_resets_user_id_idx ON password_resets (user_id)",
    "CREATE INDEX password_resets_created_at_idx ON password_resets (created_at)",
    "CREATE INDEX users_email_in_lower_case_idx ON users (lower(email))",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
