"""What a credential is beside its value, the crews that see it, and its timeline."""

from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    ALTER TABLE credentials
        ALTER COLUMN value DROP NOT NULL,
        ADD COLUMN description varchar(10000),
        ADD COLUMN refresh_token bytea
            CONSTRAINT credentials_refresh_token_check CHECK (substring(refresh_token FROM 1 FOR 1) = '\\xff'::bytea),
        ADD COLUMN account_label varchar(200),
        ADD COLUMN account_email varchar(320),
        ADD COLUMN username varchar(320),
        ADD COLUMN token_expires_at varchar(200),
        ADD COLUMN security_level integer NOT NULL DEFAULT 1,
        ADD COLUMN tags jsonb NOT NULL DEFAULT '[]',
        ADD COLUMN last_checked_at timestamptz,
        ADD COLUMN last_error varchar(10000),
        ADD COLUMN last_used_at timestamptz,
        ADD COLUMN last_used_ips jsonb NOT NULL DEFAULT '[]',
        ADD COLUMN oauth_client_id varchar(2048),
        ADD COLUMN oauth_client_secret bytea
            CONSTRAINT credentials_oauth_client_secret_check
            CHECK (substring(oauth_client_secret FROM 1 FOR 1) = '\\xff'::bytea),
        ADD COLUMN oauth_auth_url varchar(2048),
        ADD COLUMN oauth_token_url varchar(2048),
        ADD COLUMN oauth_scopes varchar(2048),
        ADD COLUMN provisioned_for_service varchar(200),
        ADD COLUMN recency timestamptz NOT NULL GENERATED ALWAYS AS (
            (timestamp '2000-01-01' - (created_at AT TIME ZONE 'UTC' - timestamp '2000-01-01')) AT TIME ZONE 'UTC'
        ) STORED,
        DROP CONSTRAINT credentials_size_check,
        ADD CONSTRAINT credentials_size_check CHECK (
            GREATEST(octet_length(value), octet_length(refresh_token), octet_length(oauth_client_secret)) <= 256128
            AND GREATEST(pg_column_size(tags), pg_column_size(last_used_ips)) <= 262144
        )
    """,
    """
    ALTER TABLE credentials
        ALTER COLUMN security_level DROP DEFAULT,
        ALTER COLUMN tags DROP DEFAULT,
        ALTER COLUMN last_used_ips DROP DEFAULT
    """,
    "CREATE INDEX credentials_list_idx ON credentials (workspace_id, type, recency, id)"
    " WHERE deleted_at IS NULL",
    """
    CREATE TABLE credential_crews (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        credential_id text NOT NULL,
        crew_id text NOT NULL,
        position integer NOT NULL,
        UNIQUE (credential_id, crew_id),
        FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX credential_crews_crew_id_idx ON credential_crews (crew_id)",
    """
    CREATE TABLE credential_events (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        credential_id text NOT NULL,
        event_type text NOT NULL CHECK (
            event_type IN ('USE', 'ROTATE', 'TEST', 'REVOKE', 'DETECTED', 'CREATED', 'APPROVED', 'REJECTED')
        ),
        user_id text REFERENCES users ON DELETE SET NULL,
        agent_id varchar(200),
        ip_address varchar(200),
        details jsonb,
        occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT credential_events_size_check CHECK (pg_column_size(details) <= 262144),
        FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX credential_events_user_id_idx ON credential_events (user_id)",
    "CREATE INDEX credential_events_list_idx ON credential_events (workspace_id, credential_id, occurred_at, id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
