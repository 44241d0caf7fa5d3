-- Credentials, and who may use them.

-- A secret that agents work with. Its values are sealed for this row; nothing shows them.
CREATE TABLE credentials (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name varchar(255) NOT NULL,
    type text NOT NULL CHECK (type IN ('AI_CLI_TOKEN', 'API_KEY', 'CLI_TOKEN', 'SECRET', 'OAUTH2', 'USERPASS',
        'SSH_KEY', 'CERTIFICATE', 'GENERIC_SECRET')),
    provider varchar(200) NOT NULL,
    status text NOT NULL CHECK (status IN ('ACTIVE', 'PENDING', 'PENDING_APPROVAL', 'RATE_LIMITED', 'EXPIRED',
        'REVOKED', 'ERROR', 'REJECTED')),
    scope varchar(200) NOT NULL,
    value bytea CHECK (substring(value FROM 1 FOR 1) = '\xff'::bytea),
    created_by_actor_type text CHECK (created_by_actor_type IN ('user', 'agent', 'system')),
    created_by_actor_id varchar(200),
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    description varchar(10000),
    refresh_token bytea CHECK (substring(refresh_token FROM 1 FOR 1) = '\xff'::bytea),
    account_label varchar(200),
    account_email varchar(320),
    username varchar(320),
    token_expires_at varchar(200),
    security_level integer NOT NULL,
    tags jsonb NOT NULL,
    last_checked_at timestamptz,
    last_error varchar(10000),
    last_used_at timestamptz,
    last_used_ips jsonb NOT NULL,
    oauth_client_id varchar(2048),
    oauth_client_secret bytea CHECK (substring(oauth_client_secret FROM 1 FOR 1) = '\xff'::bytea),
    oauth_auth_url varchar(2048),
    oauth_token_url varchar(2048),
    oauth_scopes varchar(2048),
    provisioned_for_service varchar(200),
    recency timestamptz NOT NULL
        GENERATED ALWAYS AS (
            (timestamp '2000-01-01' - (created_at AT TIME ZONE 'UTC' - timestamp '2000-01-01')) AT TIME ZONE 'UTC'
        ) STORED,
    oauth_issuer varchar(2048),
    oauth_names_issuer boolean NOT NULL,
    oauth_resource varchar(2048),
    oauth_expires_at timestamptz,
    secret_ref varchar(2048),
    hosts jsonb NOT NULL DEFAULT '[]',
    UNIQUE (workspace_id, id),
    CONSTRAINT credentials_size_check
        CHECK (GREATEST(octet_length(value), octet_length(refresh_token), octet_length(oauth_client_secret)) <= 256128
            AND GREATEST(pg_column_size(tags), pg_column_size(last_used_ips)) <= 262144
            AND pg_column_size(hosts) <= 4096)
);
CREATE UNIQUE INDEX credentials_workspace_id_name_key ON credentials (workspace_id, name) WHERE deleted_at IS NULL;
CREATE INDEX credentials_list_idx ON credentials (workspace_id, type, recency, id) WHERE deleted_at IS NULL;
CREATE INDEX credentials_oauth_expires_at_idx ON credentials (oauth_expires_at)
    WHERE status = 'ACTIVE' AND oauth_expires_at IS NOT NULL AND deleted_at IS NULL;

-- A credential in an agent's environment. Those of one `env_var_name` are a pool, the lowest `priority` first.
CREATE TABLE agent_credentials (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    agent_id text NOT NULL,
    credential_id text NOT NULL,
    env_var_name varchar(255) NOT NULL,
    priority integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (agent_id, credential_id),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX agent_credentials_credential_id_idx ON agent_credentials (credential_id);

-- A crew whose members see a credential; `position` is the place among the crews of the credential.
CREATE TABLE credential_crews (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    credential_id text NOT NULL,
    crew_id text NOT NULL,
    position integer NOT NULL,
    UNIQUE (credential_id, crew_id),
    FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX credential_crews_crew_id_idx ON credential_crews (crew_id);

-- One line of the timeline of a credential, which only grows.
CREATE TABLE credential_events (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    credential_id text NOT NULL,
    event_type text NOT NULL
        CHECK (event_type IN ('USE', 'ROTATE', 'TEST', 'REVOKE', 'DETECTED', 'CREATED', 'APPROVED', 'REJECTED')),
    user_id text REFERENCES users ON DELETE SET NULL,
    agent_id varchar(200),
    ip_address varchar(200),
    details jsonb,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT credential_events_size_check CHECK (pg_column_size(details) <= 262144),
    FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX credential_events_user_id_idx ON credential_events (user_id);
CREATE INDEX credential_events_list_idx ON credential_events (workspace_id, credential_id, occurred_at, id);

-- A value that was replaced, and stays good until `expires_at`. Where it ends, so does the sealed value.
CREATE TABLE credential_rotations (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    credential_id text NOT NULL,
    grace_seconds integer NOT NULL,
    rotated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    rotated_by text REFERENCES users ON DELETE SET NULL,
    status text NOT NULL CHECK (status IN ('ACTIVE', 'EXPIRED', 'CANCELLED')),
    old_value bytea CHECK (substring(old_value FROM 1 FOR 1) = '\xff'::bytea),
    CONSTRAINT credential_rotations_size_check CHECK (octet_length(old_value) <= 256128),
    FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX credential_rotations_list_idx ON credential_rotations (workspace_id, credential_id, rotated_at, id);
CREATE INDEX credential_rotations_rotated_by_idx ON credential_rotations (rotated_by);
CREATE INDEX credential_rotations_due_idx ON credential_rotations (expires_at) WHERE status = 'ACTIVE';

-- It is good once, for 15 minutes. Of the state there is a hash, of the code verifier what the vault sealed, and of the
-- cookie of the browser that it was begun in a hash, too; none, where the answer comes to a loopback address.
CREATE TABLE oauth_states (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    state_hash varchar(200) NOT NULL UNIQUE,
    credential_id text NOT NULL,
    user_id text NOT NULL,
    redirect_uri varchar(2048) NOT NULL,
    verifier bytea NOT NULL CHECK (substring(verifier FROM 1 FOR 1) = '\xff'::bytea),
    created_at timestamptz NOT NULL DEFAULT now(),
    browser_hash varchar(200),
    CONSTRAINT oauth_states_size_check CHECK (octet_length(verifier) <= 928),
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX oauth_states_created_at_idx ON oauth_states (created_at);
CREATE INDEX oauth_states_credential_id_idx ON oauth_states (credential_id);
CREATE INDEX oauth_states_user_id_idx ON oauth_states (user_id);
