-- What agents remember, and what the keeper asks.

-- What a workspace has configured of its memories: an object of any keys.
CREATE TABLE memory_configs (
    workspace_id text PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    document jsonb NOT NULL,
    CONSTRAINT memory_configs_size_check CHECK (pg_column_size(document) <= 65536)
);

-- A version of one memory. `path` is logical (`agent:martin/AGENT.md`); `written_by` the id of a user or an agent, or
-- empty. Where the text was stored, `payload_ref` says so: it is a file named by the digest.
CREATE TABLE memory_versions (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    path varchar(600) NOT NULL,
    tier text NOT NULL CHECK (tier IN ('agent', 'crew', 'workspace', 'pins', 'learned', 'persona')),
    sha256 varchar(200) NOT NULL,
    bytes bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    written_by varchar(200) NOT NULL,
    parent_sha varchar(200),
    payload_ref varchar(200) NOT NULL,
    agent_slug varchar(600) NOT NULL
        GENERATED ALWAYS AS (CASE WHEN starts_with(path, 'agent:') THEN split_part(substr(path, 7), '/',
            1) ELSE '' END) STORED,
    owner_id varchar(200)
);
CREATE INDEX memory_versions_agent_idx ON memory_versions (workspace_id, agent_slug, written_at DESC, id DESC);
CREATE INDEX memory_versions_list_idx ON memory_versions (workspace_id, written_at DESC, id DESC);
CREATE INDEX memory_versions_path_idx ON memory_versions (workspace_id, path, written_at);
CREATE INDEX memory_versions_sha256_idx ON memory_versions (workspace_id, sha256);
CREATE INDEX memory_versions_tier_idx ON memory_versions (workspace_id, tier, written_at DESC, id DESC);
CREATE INDEX memory_versions_written_at_idx ON memory_versions (written_at);
CREATE INDEX memory_versions_written_by_idx ON memory_versions (workspace_id, written_by);
CREATE INDEX memory_versions_owner_id_idx ON memory_versions (workspace_id, owner_id, written_at DESC, id DESC)
    WHERE owner_id IS NOT NULL;

-- What one agent has noted about one user. `user_slug` is its name for the user, `path` the logical place.
CREATE TABLE peer_cards (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    agent_id text NOT NULL,
    user_id text NOT NULL,
    user_slug varchar(100) NOT NULL,
    path varchar(600) NOT NULL,
    bytes integer NOT NULL,
    content varchar(10000) NOT NULL,
    UNIQUE (workspace_id, user_id, agent_id),
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX peer_cards_agent_id_idx ON peer_cards (workspace_id, agent_id);
CREATE INDEX peer_cards_user_id_idx ON peer_cards (user_id);

-- Kept apart from the audit log: it is about the user, and goes with them.
CREATE TABLE peer_card_audit (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    actor_user_id text,
    actor_kind varchar(200) NOT NULL,
    action text NOT NULL CHECK (action IN ('read', 'write', 'delete', 'opt_in', 'opt_out')),
    target_user_id text NOT NULL,
    agent_id varchar(200),
    details jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT peer_card_audit_size_check CHECK (pg_column_size(details) <= 262144),
    FOREIGN KEY (actor_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (target_user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX peer_card_audit_actor_user_id_idx ON peer_card_audit (actor_user_id);
CREATE INDEX peer_card_audit_target_user_id_idx ON peer_card_audit (target_user_id, created_at);
CREATE INDEX peer_card_audit_workspace_id_created_at_idx ON peer_card_audit (workspace_id, created_at);

-- Whether agents of a workspace may keep peer cards about a user; they may where there is no row.
CREATE TABLE peer_consents (
    workspace_id text NOT NULL,
    user_id text NOT NULL,
    opted_out boolean NOT NULL,
    opted_out_at timestamptz,
    PRIMARY KEY (workspace_id, user_id),
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX peer_consents_user_id_idx ON peer_consents (user_id);

-- One line of the keeper's log. It outlives what it tells of, and has no foreign keys: ids are empty where there is
-- nothing of the kind. `prompt` and `answer` are those of the model, cut. Nothing of a credential's value is in it.
CREATE TABLE keeper_requests (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    request_type text NOT NULL
        CHECK (request_type IN ('access', 'execute', 'skill_review', 'behavior', 'memory_health', 'negative_learning')),
    agent_id varchar(200) NOT NULL,
    crew_id varchar(200) NOT NULL,
    credential_id varchar(200) NOT NULL,
    task_id varchar(200) NOT NULL,
    intent varchar(10000) NOT NULL,
    command varchar(4096),
    decision text NOT NULL CHECK (decision IN ('ALLOW', 'DENY', 'ESCALATE', 'WARN', 'PENDING')),
    reason varchar(10000),
    risk_score integer,
    exit_code integer,
    prompt varchar(2200),
    answer varchar(2200),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_at timestamptz
);
CREATE INDEX keeper_requests_decision_idx ON keeper_requests (decision);
CREATE INDEX keeper_requests_list_idx ON keeper_requests (workspace_id, created_at, id);
CREATE INDEX keeper_requests_pending_idx ON keeper_requests (created_at) WHERE decision = 'PENDING';
