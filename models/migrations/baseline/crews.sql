-- Crews and their agents.

-- A team of agents and the container they work in.
CREATE TABLE crews (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    name varchar(200) NOT NULL,
    slug varchar(400) NOT NULL,
    description varchar(10000),
    color varchar(200),
    icon varchar(200),
    avatar_style varchar(200),
    container_memory_mb integer NOT NULL,
    container_cpus double precision NOT NULL,
    container_ttl_hours integer,
    network_mode text NOT NULL CHECK (network_mode IN ('free', 'restricted')),
    allowed_domains jsonb NOT NULL,
    mcp_config_json varchar(128000),
    escalation_config varchar(10000),
    runtime_image varchar(1024),
    devcontainer_config varchar(128000),
    mise_config varchar(128000),
    services_json varchar(128000),
    cached_image varchar(1024),
    config_hash varchar(200),
    issue_prefix varchar(200),
    issue_counter integer NOT NULL,
    max_ephemeral_agents integer NOT NULL,
    autonomy_level text NOT NULL CHECK (autonomy_level IN ('strict', 'guided', 'trusted', 'full')),
    behavior_mode text NOT NULL CHECK (behavior_mode IN ('warn', 'block')),
    policy_set_by_user_id text,
    policy_set_at timestamptz,
    policy_reason varchar(10000),
    created_by text,
    version integer NOT NULL,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    persona varchar(1500),
    build jsonb,
    memory_reviewed_at timestamptz,
    agents_pending_restart integer NOT NULL,
    UNIQUE (workspace_id, id),
    CONSTRAINT crews_size_check CHECK (pg_column_size(allowed_domains) <= 1048576 AND pg_column_size(build) <= 262144),
    FOREIGN KEY (policy_set_by_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (created_by) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX crews_workspace_id_created_at_id_idx ON crews (workspace_id, created_at, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX crews_workspace_id_slug_key ON crews (workspace_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX crews_deleted_slug_idx ON crews (workspace_id, slug text_pattern_ops) WHERE deleted_at IS NOT NULL;
CREATE INDEX crews_pending_restart_idx ON crews (id) WHERE agents_pending_restart > 0;

-- A user in a crew. A role here raises the workspace role inside this crew; null inherits it.
CREATE TABLE crew_members (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    crew_id text NOT NULL,
    user_id text NOT NULL,
    role text CHECK (role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (crew_id, user_id),
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX crew_members_user_id_workspace_id_idx ON crew_members (user_id, workspace_id);
CREATE INDEX crew_members_workspace_id_crew_id_created_at_idx ON crew_members (workspace_id, crew_id, created_at);

-- Leave for one crew to talk to another. The pair is ordered: the reverse connection is a row of its own.
CREATE TABLE crew_connections (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    from_crew_id text NOT NULL,
    to_crew_id text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('bidirectional', 'unidirectional')),
    status text NOT NULL CHECK (status IN ('active', 'inactive')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (from_crew_id, to_crew_id),
    CONSTRAINT crew_connections_two_crews_check CHECK (from_crew_id <> to_crew_id),
    FOREIGN KEY (workspace_id, from_crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, to_crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX crew_connections_workspace_id_created_at_idx ON crew_connections (workspace_id, created_at);
CREATE INDEX crew_connections_workspace_id_to_crew_id_idx ON crew_connections (workspace_id, to_crew_id);

-- A worker with a model, an adapter and a prompt.
CREATE TABLE agents (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    crew_id text,
    name varchar(100) NOT NULL,
    slug varchar(400) NOT NULL,
    description varchar(10000),
    role_title varchar(200),
    agent_role text NOT NULL CHECK (agent_role IN ('AGENT', 'LEAD')),
    lead_mode text CHECK (lead_mode IN ('active', 'passive')),
    status text NOT NULL CHECK (status IN ('IDLE', 'RUNNING', 'ERROR', 'STOPPED', 'PENDING_REVIEW')),
    cli_adapter text NOT NULL
        CHECK (cli_adapter IN ('CLAUDE_CODE', 'OPENCODE', 'CODEX_CLI', 'GEMINI_CLI', 'CURSOR_CLI', 'FACTORY_DROID')),
    llm_provider text CHECK (llm_provider IN ('ANTHROPIC', 'OPENAI', 'GOOGLE', 'CURSOR', 'FACTORY', 'OLLAMA')),
    llm_model varchar(200),
    system_prompt varchar(64000),
    avatar_seed varchar(200),
    avatar_style varchar(200),
    timeout_seconds integer NOT NULL,
    tool_profile text NOT NULL CHECK (tool_profile IN ('MINIMAL', 'CODING', 'FULL')),
    memory_enabled boolean NOT NULL,
    cli_tools varchar(10000),
    mcp_config_json varchar(128000),
    schedule_cron varchar(200),
    schedule_prompt varchar(64000),
    schedule_enabled boolean NOT NULL,
    schedule_last_run timestamptz,
    schedule_next_run timestamptz,
    webhook_require_timestamp boolean NOT NULL,
    learning_enabled boolean NOT NULL,
    learning_set_by_user_id text,
    learning_set_at timestamptz,
    learning_reason varchar(10000),
    ephemeral boolean NOT NULL,
    expires_at timestamptz,
    expired_at timestamptz,
    parent_lead_id text,
    hire_reason varchar(10000),
    created_by_user_id text,
    version integer NOT NULL,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    listed_at timestamptz NOT NULL GENERATED ALWAYS AS (COALESCE(expired_at, created_at)) STORED,
    persona varchar(1500),
    webhook_secret bytea CHECK (substring(webhook_secret FROM 1 FOR 1) = '\xff'::bytea),
    webhook_scheme text NOT NULL
        CHECK (webhook_scheme IN ('crewship', 'standard_webhooks', 'github', 'stripe', 'slack')),
    UNIQUE (workspace_id, id),
    CONSTRAINT agents_size_check CHECK (octet_length(webhook_secret) <= 928),
    FOREIGN KEY (learning_set_by_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (created_by_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id),
    FOREIGN KEY (workspace_id, parent_lead_id) REFERENCES agents (workspace_id, id)
);
CREATE UNIQUE INDEX agents_crew_id_lead_key ON agents (crew_id) WHERE agent_role = 'LEAD' AND deleted_at IS NULL;
CREATE INDEX agents_expires_at_idx ON agents (expires_at)
    WHERE ephemeral AND expired_at IS NULL AND deleted_at IS NULL;
CREATE INDEX agents_workspace_id_created_at_id_idx ON agents (workspace_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX agents_list_idx ON agents (workspace_id, (expired_at IS NULL) DESC, listed_at DESC, id DESC)
    WHERE deleted_at IS NULL;
CREATE INDEX agents_workspace_id_crew_id_created_at_id_idx ON agents (workspace_id, crew_id, created_at, id);
CREATE UNIQUE INDEX agents_workspace_id_slug_key ON agents (workspace_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX agents_schedule_next_run_idx ON agents (schedule_next_run, id)
    WHERE schedule_next_run IS NOT NULL AND deleted_at IS NULL;
