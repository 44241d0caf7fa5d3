-- Workspaces and who belongs to them.

-- The tenant. Its slug is unique on the whole instance, deleted workspaces included.
CREATE TABLE workspaces (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    name varchar(400) NOT NULL,
    slug varchar(100) NOT NULL UNIQUE,
    logo_url varchar(2048),
    preferred_language varchar(200),
    version integer NOT NULL,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE users ADD FOREIGN KEY (founded_in) REFERENCES workspaces ON DELETE SET NULL;

-- A user in a workspace. `capabilities` is null while the default of the role holds.
CREATE TABLE memberships (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    user_id text NOT NULL,
    role text NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
    capabilities jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz,
    UNIQUE (user_id, workspace_id),
    CONSTRAINT memberships_owner_check CHECK (role <> 'OWNER' OR NOT starts_with(user_id, 'sa_')),
    CONSTRAINT memberships_size_check CHECK (pg_column_size(capabilities) <= 262144),
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX memberships_workspace_id_created_at_idx ON memberships (workspace_id, created_at);

-- An offer of membership that waits for a person; `token` is handed over by hand.
CREATE TABLE invitations (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    email varchar(320) NOT NULL,
    role text NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
    invited_by text NOT NULL,
    token varchar(200) NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (invited_by) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX invitations_workspace_id_created_at_idx ON invitations (workspace_id, created_at);
CREATE INDEX invitations_email_in_lower_case_idx ON invitations (lower(email)) WHERE accepted_at IS NULL;

-- It is a user of the same id, and while it is active it has a membership of its role: the gate knows no difference.
CREATE TABLE service_accounts (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    deleted_at timestamptz,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    name varchar(100) NOT NULL,
    description varchar(10000),
    role text NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
    created_by varchar(200),
    deactivated_at timestamptz,
    UNIQUE (workspace_id, id),
    CONSTRAINT service_accounts_kind_check CHECK (starts_with(id, 'sa_')),
    CONSTRAINT service_accounts_owner_check CHECK (role <> 'OWNER'),
    FOREIGN KEY (id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX service_accounts_workspace_id_created_at_idx ON service_accounts (workspace_id, created_at, id);
CREATE UNIQUE INDEX service_accounts_workspace_id_name_key ON service_accounts (workspace_id, name)
    WHERE deleted_at IS NULL;

-- Days that a workspace keeps rows of a kind; 0 is for good. Without a row, the default of the instance holds.
CREATE TABLE retention_rules (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('events', 'frames', 'journal', 'mcp_calls', 'memory_versions',
        'idempotency_keys', 'audit')),
    days integer NOT NULL,
    removed_until timestamptz,
    PRIMARY KEY (workspace_id, kind),
    CONSTRAINT retention_rules_kept_check CHECK (days >= 0)
);

-- Filters and order are texts of the client's, kept as sent. A view is its owner's, and goes with the account.
CREATE TABLE saved_views (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL,
    name varchar(600) NOT NULL,
    filters_json varchar(64000) NOT NULL,
    sort_json varchar(64000),
    view_type text NOT NULL CHECK (view_type IN ('board', 'list')),
    is_default boolean NOT NULL,
    shared boolean NOT NULL,
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX saved_views_user_id_idx ON saved_views (user_id);
CREATE INDEX saved_views_workspace_id_is_default_idx ON saved_views (workspace_id, is_default DESC, name, id);
