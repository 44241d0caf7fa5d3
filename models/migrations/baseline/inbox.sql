-- What waits for a person, and how a person learns of it.

-- One thing to see to, for one user, for a role and those above it, or for everybody where neither is named.
CREATE TABLE inbox_items (
    id varchar(800) NOT NULL,
    workspace_id text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('waitpoint', 'escalation', 'failed_run', 'message', 'memory_consolidation')),
    source_id varchar(600) NOT NULL,
    target_user_id text,
    target_role text CHECK (target_role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
    title varchar(600) NOT NULL,
    body_md varchar(10000),
    sender_type text CHECK (sender_type IN ('agent', 'crew', 'system', 'pipeline', 'user')),
    sender_id varchar(200),
    sender_name varchar(200),
    avatar_seed varchar(200),
    avatar_style varchar(200),
    state text NOT NULL CHECK (state IN ('unread', 'read', 'resolved')),
    priority text NOT NULL CHECK (priority IN ('urgent', 'high', 'medium', 'low')),
    blocking boolean NOT NULL,
    payload jsonb,
    read_at timestamptz,
    read_by_user_id text,
    resolved_at timestamptz,
    resolved_by_user_id text,
    resolved_action varchar(200),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, workspace_id),
    UNIQUE (workspace_id, kind, source_id),
    CONSTRAINT inbox_items_size_check CHECK (pg_column_size(payload) <= 262144),
    FOREIGN KEY (target_user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (read_by_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (resolved_by_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX inbox_items_target_user_id_idx ON inbox_items (target_user_id);
CREATE INDEX inbox_items_workspace_id_created_at_id_idx ON inbox_items (workspace_id, created_at, id);
CREATE INDEX inbox_items_active_idx ON inbox_items (workspace_id, created_at, id) WHERE state <> 'resolved';
CREATE INDEX inbox_items_kind_idx ON inbox_items (workspace_id, kind, created_at, id);
CREATE INDEX inbox_items_state_idx ON inbox_items (workspace_id, state, created_at, id);
CREATE INDEX inbox_items_sender_id_idx ON inbox_items (workspace_id, sender_id, created_at, id)
    WHERE sender_id IS NOT NULL;

-- A question that is answered once. Whom it is about may be gone: ids are kept as texts.
CREATE TABLE approvals (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    crew_id varchar(200) NOT NULL,
    agent_id varchar(200) NOT NULL,
    mission_id varchar(200) NOT NULL,
    requested_by varchar(200) NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tool_call', 'cost_threshold', 'destructive_op', 'target_environment',
        'custom')),
    reason varchar(10000) NOT NULL,
    tool varchar(200),
    payload jsonb,
    status text NOT NULL CHECK (status IN ('pending', 'approved', 'denied', 'timeout', 'cancelled')),
    decided_by varchar(200) NOT NULL,
    decided_at timestamptz,
    comment varchar(10000) NOT NULL,
    timeout_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id varchar(200) NOT NULL,
    arguments varchar(64),
    mode text NOT NULL CHECK (mode IN ('sync', 'async')),
    CONSTRAINT approvals_size_check CHECK (pg_column_size(payload) <= 262144)
);
CREATE INDEX approvals_due_idx ON approvals (timeout_at) WHERE status = 'pending';
CREATE INDEX approvals_list_idx ON approvals (workspace_id, created_at, id);
CREATE INDEX approvals_status_idx ON approvals (workspace_id, status, created_at, id);
CREATE INDEX approvals_crew_idx ON approvals (workspace_id, crew_id, created_at, id);
CREATE INDEX approvals_agent_idx ON approvals (workspace_id, agent_id, created_at, id);
CREATE INDEX approvals_run_idx ON approvals (workspace_id, run_id) WHERE run_id <> '';

-- Calls of tools that somebody has to consent to: of all agents, of those of a crew, or of one.
CREATE TABLE approval_gates (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    pattern varchar(200) NOT NULL,
    mode text NOT NULL CHECK (mode IN ('sync', 'async')),
    crew_id text,
    agent_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX approval_gates_agent_id_idx ON approval_gates (agent_id);
CREATE INDEX approval_gates_crew_id_idx ON approval_gates (crew_id);
CREATE INDEX approval_gates_list_idx ON approval_gates (workspace_id, created_at, id);

-- What somebody decided of a tool: what later calls of it are judged by.
CREATE TABLE approval_outcomes (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    tool varchar(200) NOT NULL,
    approved boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    arguments varchar(64)
);
CREATE INDEX approval_outcomes_tool_idx ON approval_outcomes (workspace_id, tool, arguments, created_at, id);

-- `user_id` is in whose name it decides, and only the hash of the token is kept.
CREATE TABLE decision_links (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    channel_id varchar(200) NOT NULL,
    kind text NOT NULL CHECK (kind IN ('approval', 'mission_task', 'escalation')),
    subject_id varchar(200) NOT NULL,
    source_id varchar(600) NOT NULL,
    user_id text NOT NULL,
    token_hash varchar(200) NOT NULL UNIQUE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, channel_id, source_id),
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX decision_links_expires_at_idx ON decision_links (expires_at);
CREATE INDEX decision_links_user_id_idx ON decision_links (user_id);

-- It belongs to one person, whichever workspace a call names, and goes with that person and with the workspace it came
-- from.
CREATE TABLE notifications (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL,
    from_workspace_id text NOT NULL,
    actor_type text NOT NULL CHECK (actor_type IN ('user', 'agent', 'system')),
    actor_id varchar(200) NOT NULL,
    actor_name varchar(200),
    action varchar(100) NOT NULL,
    entity_type varchar(100) NOT NULL,
    entity_id varchar(200),
    entity_title varchar(600),
    read_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (from_workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX notifications_from_workspace_id_idx ON notifications (from_workspace_id);
CREATE INDEX notifications_unread_idx ON notifications (user_id, created_at, id) WHERE read_at IS NULL;
CREATE INDEX notifications_user_id_idx ON notifications (user_id, created_at, id);

-- An address for mail, or a URL that is called, and what it is told of: ends of runs, and what is to be decided.
CREATE TABLE notification_channels (
    deleted_at timestamptz,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    type text NOT NULL CHECK (type IN ('email', 'webhook')),
    url varchar(2048),
    address varchar(320),
    secret bytea CHECK (substring(secret FROM 1 FOR 1) = '\xff'::bytea),
    events jsonb NOT NULL,
    enabled boolean NOT NULL,
    created_by text,
    updated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notification_channels_size_check CHECK (octet_length(secret) <= 928 AND pg_column_size(events) <= 1024),
    FOREIGN KEY (created_by) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX notification_channels_list_idx ON notification_channels (workspace_id, created_at, id)
    WHERE deleted_at IS NULL;
