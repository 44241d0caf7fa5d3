-- The schema of the floors and the peers: the tables of the service that the cases touch, by hand.
CREATE TABLE workspaces (id text PRIMARY KEY, name text NOT NULL, slug text NOT NULL UNIQUE, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE users (id text PRIMARY KEY, email text NOT NULL UNIQUE, full_name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE memberships (
    workspace_id text NOT NULL REFERENCES workspaces, user_id text NOT NULL REFERENCES users, role text NOT NULL,
    PRIMARY KEY (workspace_id, user_id));
CREATE TABLE tokens (id text PRIMARY KEY, token_hash bytea NOT NULL UNIQUE, user_id text NOT NULL REFERENCES users, expires_at timestamptz);
CREATE TABLE crews (
    id text PRIMARY KEY, workspace_id text NOT NULL REFERENCES workspaces, name text NOT NULL, slug text NOT NULL,
    description text, color text, icon text, avatar_style text, container_memory_mb int NOT NULL, container_cpus float8 NOT NULL,
    container_ttl_hours int NOT NULL, network_mode text NOT NULL, allowed_domains jsonb NOT NULL, runtime_image text, devcontainer jsonb,
    mcp_config jsonb, cached_image text, max_agents int NOT NULL, issue_prefix text NOT NULL, issue_counter int NOT NULL DEFAULT 0,
    budget_usd float8, created_by text REFERENCES users, created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz, version int NOT NULL DEFAULT 1, UNIQUE (workspace_id, slug));
CREATE TABLE crew_members (crew_id text NOT NULL REFERENCES crews, user_id text NOT NULL REFERENCES users, PRIMARY KEY (crew_id, user_id));
CREATE TABLE agents (
    id text PRIMARY KEY, workspace_id text NOT NULL REFERENCES workspaces, crew_id text NOT NULL REFERENCES crews,
    name text NOT NULL, slug text NOT NULL, description text, role text NOT NULL, title text, status text NOT NULL,
    model text, provider text, temperature float8, max_tokens int, system_prompt text, tool_profile text, cli_adapter text,
    timeout_seconds int, memory_enabled bool NOT NULL, lead bool NOT NULL, config jsonb, last_seen_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz);
CREATE INDEX ON agents (workspace_id, crew_id);
CREATE INDEX ON agents (crew_id);
CREATE TABLE issues (
    id text PRIMARY KEY, workspace_id text NOT NULL REFERENCES workspaces, crew_id text NOT NULL REFERENCES crews,
    number int NOT NULL, identifier text NOT NULL, title text NOT NULL, description text, status text NOT NULL, priority text NOT NULL,
    created_by text REFERENCES users, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (crew_id, number));
CREATE INDEX ON issues (workspace_id, created_at DESC);
CREATE TABLE audit_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, workspace_id text NOT NULL, user_id text, action text NOT NULL,
    entity text NOT NULL, entity_id text NOT NULL, data jsonb, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, workspace_id text NOT NULL, type text NOT NULL, payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now());
