"""Rotations of credentials, each with the value before for as long as that is good."""

from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE credential_rotations (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        credential_id text NOT NULL,
        grace_seconds integer NOT NULL,
        rotated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        expires_at timestamptz NOT NULL,
        rotated_by text REFERENCES users ON DELETE SET NULL,
        status text NOT NULL CHECK (status IN ('ACTIVE', 'EXPIRED', 'CANCELLED')),
        old_value bytea CHECK (substring(old_value FROM 1 FOR 1) = '\\xff'::bytea),
        CONSTRAINT credential_rotations_size_check CHECK (octet_length(old_value) <= 256128),
        FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX credential_rotations_list_idx ON credential_rotations (workspace_id, credential_id, rotated_at, id)",
    "CREATE INDEX credential_rotations_rotated_by_idx ON credential_rotations (rotated_by)",
    "UPDATE credentials SET value = NULL, refresh_token = NULL, oauth_client_secret = NULL WHERE deleted_at IS NOT NULL",
    "CREATE INDEX credential_rotations_due_idx ON credential_rotations (expires_at) WHERE status = 'ACTIVE'",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

