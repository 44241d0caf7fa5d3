"""Browsers that receive pushes about what needs attention, their notices, and the key that signs."""

from models.migrations.revisions import execute

revision = "2026_12_01_16"
down_revision = "2026_12_01_15"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute(r"""
        CREATE TABLE push_keys (
            id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            public varchar(87) NOT NULL,
            private bytea NOT NULL CHECK (substring(private FROM 1 FOR 1) = '\xff'::bytea),
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT push_keys_size_check CHECK (octet_length(private) <= 928)
        );
        CREATE TABLE push_subscriptions (
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            workspace_id text NOT NULL,
            id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            user_id text NOT NULL,
            session_id text,
            token_id text,
            label varchar(100) NOT NULL,
            endpoint varchar(1024) NOT NULL,
            p256dh varchar(87) NOT NULL,
            auth bytea NOT NULL CHECK (substring(auth FROM 1 FOR 1) = '\xff'::bytea),
            kinds jsonb NOT NULL,
            position varchar(200) NOT NULL,
            failures integer NOT NULL,
            last_error varchar(200),
            last_success_at timestamptz,
            next_attempt_at timestamptz,
            UNIQUE (workspace_id, id),
            UNIQUE (workspace_id, user_id, endpoint),
            CONSTRAINT push_subscriptions_size_check
                CHECK (octet_length(auth) <= 928 AND pg_column_size(kinds) <= 1024),
            FOREIGN KEY (user_id, workspace_id) REFERENCES memberships (user_id, workspace_id) ON DELETE CASCADE,
            FOREIGN KEY (session_id) REFERENCES sessions ON DELETE CASCADE,
            FOREIGN KEY (token_id) REFERENCES cli_tokens ON DELETE CASCADE,
            FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
        );
        CREATE INDEX push_subscriptions_session_id_idx ON push_subscriptions (session_id)
            WHERE session_id IS NOT NULL;
        CREATE INDEX push_subscriptions_token_id_idx ON push_subscriptions (token_id) WHERE token_id IS NOT NULL;
        CREATE INDEX push_subscriptions_user_id_idx ON push_subscriptions (user_id, workspace_id, created_at, id);
        CREATE TABLE push_notices (
            workspace_id text NOT NULL,
            id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            subscription_id text NOT NULL,
            entry varchar(1000) NOT NULL,
            state text NOT NULL CHECK (state IN ('pending', 'sent', 'dropped')),
            attempts integer NOT NULL,
            created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
            UNIQUE (workspace_id, subscription_id, entry),
            FOREIGN KEY (workspace_id, subscription_id) REFERENCES push_subscriptions (workspace_id, id)
                ON DELETE CASCADE,
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
        );
        CREATE INDEX push_notices_created_at_idx ON push_notices (created_at);
        CREATE INDEX push_notices_pending_idx ON push_notices (workspace_id, subscription_id, created_at, id)
            WHERE state = 'pending';
    """)
