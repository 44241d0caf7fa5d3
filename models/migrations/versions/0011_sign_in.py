"""How often a session was refreshed, and the browsers that signed in to an account before."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE sessions ADD COLUMN generation integer NOT NULL DEFAULT 0, ADD COLUMN refreshed_at timestamptz",
    """
    CREATE TABLE sign_in_devices (
        id text PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        cookie_hash text NOT NULL UNIQUE,
        password_mark text NOT NULL,
        failed_login_count integer NOT NULL,
        locked_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        used_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT sign_in_devices_size_check
            CHECK (GREATEST(octet_length(id), octet_length(cookie_hash), octet_length(password_mark)) <= 800)
    )
    """,
    "CREATE INDEX sign_in_devices_user_id_idx ON sign_in_devices (user_id)",
    "CREATE INDEX sign_in_devices_used_at_idx ON sign_in_devices (used_at)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
