"""Credentials of a workspace, sealed."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE credentials (
            id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            name varchar(255) NOT NULL,
            type text NOT NULL CHECK (
                type IN ('AI_CLI_TOKEN', 'API_KEY', 'CLI_TOKEN', 'SECRET', 'OAUTH2', 'USERPASS', 'SSH_KEY', 'CERTIFICATE', 'GENERIC_SECRET')
            ),
            provider varchar(200) NOT NULL,
            status text NOT NULL CHECK (
                status IN ('ACTIVE', 'PENDING', 'PENDING_APPROVAL', 'RATE_LIMITED', 'EXPIRED', 'REVOKED', 'ERROR', 'REJECTED')
            ),
            scope varchar(200) NOT NULL,
            value bytea NOT NULL CHECK (substring(value FROM 1 FOR 1) = '\\xff'::bytea),
            created_by_actor_type text CHECK (created_by_actor_type IN ('user', 'agent', 'system')),
            created_by_actor_id varchar(200),
            version integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            deleted_at timestamptz,
            CONSTRAINT credentials_workspace_id_id_key UNIQUE (workspace_id, id),
            CONSTRAINT credentials_size_check CHECK (octet_length(value) <= 256128)
        )
        """
    )
    op.execute(
        "CREATE UNIQUE INDEX credentials_workspace_id_name_key ON credentials (workspace_id, name) WHERE deleted_at IS NULL"
    )
