-- MCP servers.

-- An MCP server that the agents of the workspace may call; the `*_json` columns hold the client's text.
CREATE TABLE workspace_mcp_servers (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    name varchar(100) NOT NULL,
    display_name varchar(200) NOT NULL,
    transport text NOT NULL CHECK (transport IN ('streamable-http', 'stdio')),
    endpoint varchar(2048),
    command varchar(2048),
    args_json varchar(128000),
    env_json varchar(128000),
    config_json varchar(128000),
    icon varchar(200),
    enabled boolean NOT NULL,
    UNIQUE (workspace_id, id),
    UNIQUE (workspace_id, name)
);
CREATE INDEX workspace_mcp_servers_list_idx ON workspace_mcp_servers (workspace_id, created_at, id);

-- An MCP server that a crew's agents may call, instead of one of the same name of the workspace.
CREATE TABLE crew_integrations (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    crew_id text NOT NULL,
    workspace_mcp_server_id varchar(200),
    name varchar(100) NOT NULL,
    display_name varchar(200) NOT NULL,
    transport text NOT NULL CHECK (transport IN ('streamable-http', 'stdio')),
    endpoint varchar(2048),
    command varchar(2048),
    args_json varchar(128000),
    env_json varchar(128000),
    config_json varchar(128000),
    icon varchar(200),
    enabled boolean NOT NULL,
    version integer NOT NULL,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, workspace_mcp_server_id)
        REFERENCES workspace_mcp_servers (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX crew_integrations_workspace_id_crew_id_created_at_idx ON crew_integrations (workspace_id, crew_id,
    created_at) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX crew_integrations_crew_id_name_key ON crew_integrations (crew_id, name) WHERE deleted_at IS NULL;
CREATE INDEX crew_integrations_workspace_mcp_server_id_idx ON crew_integrations (workspace_mcp_server_id);

-- A tool of a crew's MCP server; a tool without a row counts as switched on.
CREATE TABLE tool_bindings (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    crew_integration_id text NOT NULL,
    tool_name varchar(200) NOT NULL,
    description varchar(10000),
    enabled boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    fingerprint varchar(100),
    UNIQUE (crew_integration_id, tool_name),
    FOREIGN KEY (workspace_id, crew_integration_id) REFERENCES crew_integrations (workspace_id, id) ON DELETE CASCADE
);

-- An agent bound to an MCP server, and the credential that the server gets from it.
CREATE TABLE agent_mcp_bindings (
    version integer NOT NULL,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    agent_id text NOT NULL,
    mcp_server_id varchar(200) NOT NULL,
    mcp_server_scope text NOT NULL CHECK (mcp_server_scope IN ('workspace', 'crew')),
    workspace_server_id varchar(200)
        GENERATED ALWAYS AS (CASE mcp_server_scope WHEN 'workspace' THEN mcp_server_id END) STORED,
    crew_server_id varchar(200) GENERATED ALWAYS AS (CASE mcp_server_scope WHEN 'crew' THEN mcp_server_id END) STORED,
    credential_id varchar(200),
    cred_type text NOT NULL CHECK (cred_type IN ('bearer', 'api_key', 'basic')),
    cred_header varchar(200),
    env_var_name varchar(255),
    enabled boolean NOT NULL,
    config_override_json varchar(128000),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (agent_id, mcp_server_scope, mcp_server_id),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, credential_id)
        REFERENCES credentials (workspace_id, id) ON DELETE SET NULL (credential_id),
    FOREIGN KEY (workspace_id, crew_server_id) REFERENCES crew_integrations (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, workspace_server_id)
        REFERENCES workspace_mcp_servers (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX agent_mcp_bindings_credential_id_idx ON agent_mcp_bindings (credential_id);
CREATE INDEX agent_mcp_bindings_crew_server_id_idx ON agent_mcp_bindings (crew_server_id);
CREATE INDEX agent_mcp_bindings_list_idx ON agent_mcp_bindings (workspace_id, agent_id, created_at, id);
CREATE INDEX agent_mcp_bindings_workspace_server_id_idx ON agent_mcp_bindings (workspace_server_id);

-- A server as the registry describes it. Its name there is its id, and what it does not say is empty.
CREATE TABLE mcp_registry_servers (
    id varchar(200) PRIMARY KEY,
    name varchar(200) NOT NULL,
    display_name varchar(200) NOT NULL,
    description varchar(10000) NOT NULL,
    icon varchar(2048) NOT NULL,
    transport varchar(200) NOT NULL,
    homepage_url varchar(2048) NOT NULL,
    source_url varchar(2048) NOT NULL,
    package_name varchar(200) NOT NULL,
    package_registry varchar(200) NOT NULL,
    command varchar(200) NOT NULL,
    endpoint varchar(2048) NOT NULL,
    auth_type varchar(200) NOT NULL,
    env_vars_json varchar(128000) NOT NULL,
    category varchar(200) NOT NULL,
    is_verified boolean NOT NULL,
    trust_tier text NOT NULL CHECK (trust_tier IN ('anthropic', 'crewship', 'community')),
    is_featured boolean NOT NULL,
    synced_at timestamptz NOT NULL,
    place integer NOT NULL GENERATED ALWAYS AS (CASE WHEN is_featured THEN 0 ELSE 1 END) STORED
);
CREATE INDEX mcp_registry_servers_list_idx ON mcp_registry_servers (place, name, id);

-- One call of a tool on an MCP server, as the agent's runtime reports it. It outlives the rows that it names.
CREATE TABLE mcp_tool_calls (
    id varchar(200) PRIMARY KEY,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    crew_id varchar(200),
    agent_id varchar(200) NOT NULL,
    mcp_server_id varchar(200) NOT NULL,
    mcp_server_scope text NOT NULL CHECK (mcp_server_scope IN ('workspace', 'crew', 'agent')),
    tool_name varchar(200) NOT NULL,
    status text NOT NULL CHECK (status IN ('success', 'error', 'denied', 'timeout')),
    duration_ms integer,
    error_message varchar(10000),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX mcp_tool_calls_list_idx ON mcp_tool_calls (workspace_id, created_at DESC, id DESC);
CREATE INDEX mcp_tool_calls_agent_id_list_idx ON mcp_tool_calls (workspace_id, agent_id, created_at DESC, id DESC);
CREATE INDEX mcp_tool_calls_mcp_server_id_list_idx ON mcp_tool_calls (workspace_id, mcp_server_id, created_at DESC,
    id DESC);
CREATE INDEX mcp_tool_calls_status_list_idx ON mcp_tool_calls (workspace_id, status, created_at DESC, id DESC);
