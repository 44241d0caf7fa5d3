-- Skills of agents.

-- A skill of the catalog, which is the instance's: every workspace reads it. `made_in` is the workspace that may change
-- it; of a bundled one it is null, and nobody may.
CREATE TABLE skills (
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    made_in text REFERENCES workspaces ON DELETE CASCADE,
    name varchar(200) NOT NULL,
    name_key varchar(600) NOT NULL UNIQUE,
    slug varchar(200) NOT NULL UNIQUE,
    display_name varchar(200) NOT NULL,
    description varchar(10000),
    skill_version varchar(100) NOT NULL,
    author varchar(200),
    category text NOT NULL
        CHECK (category IN ('CODING', 'AUTOMATION', 'DATA', 'DEVOPS', 'SUPPORT', 'SALES', 'WRITING', 'RESEARCH', 'PM',
            'DESIGN', 'SECURITY', 'FINANCE', 'OPS', 'CUSTOM')),
    source text NOT NULL CHECK (source IN ('BUNDLED', 'CUSTOM', 'GENERATED', 'MARKETPLACE', 'MANAGED')),
    icon varchar(100),
    verification text NOT NULL CHECK (verification IN ('UNVERIFIED', 'VERIFIED')),
    downloads integer NOT NULL,
    rating_avg double precision,
    rating_count integer NOT NULL,
    tags varchar(10000),
    featured boolean NOT NULL,
    pricing_tier text NOT NULL CHECK (pricing_tier IN ('FREE')),
    tool_count integer,
    vendor varchar(200),
    homepage varchar(2048),
    license varchar(200),
    spdx_license varchar(100),
    runtime text NOT NULL CHECK (runtime IN ('INSTRUCTIONS', 'SCRIPT', 'MCP', 'HYBRID')),
    maturity text NOT NULL CHECK (maturity IN ('OFFICIAL', 'CURATED', 'COMMUNITY', 'EXPERIMENTAL')),
    maturity_rank integer NOT NULL
        GENERATED ALWAYS AS (CASE maturity WHEN 'OFFICIAL' THEN 0 WHEN 'CURATED' THEN 1
            WHEN 'COMMUNITY' THEN 2 ELSE 3 END) STORED,
    scan_status text NOT NULL CHECK (scan_status IN ('UNSCANNED', 'CLEAN', 'FLAGGED')),
    description_quality varchar(10000),
    content varchar(524288),
    credential_requirements varchar(10000),
    mcp_server_command varchar(2048),
    mcp_server_image varchar(2048),
    mcp_transport varchar(200),
    dependencies varchar(10000),
    allowed_domains varchar(10000),
    changelog varchar(10000),
    security_score integer,
    lifecycle_state text NOT NULL CHECK (lifecycle_state IN ('active', 'stale', 'archived', 'deprecated')),
    last_used_at timestamptz,
    usage_count integer NOT NULL,
    fingerprint varchar(100),
    reviewed_at timestamptz
);
CREATE INDEX skills_list_idx ON skills (maturity_rank, name, id);
CREATE INDEX skills_made_in_idx ON skills (made_in);

-- A skill on an agent; `config` is the client's JSON text. The catalog is the instance's, not the workspace's.
CREATE TABLE agent_skills (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    agent_id text NOT NULL,
    skill_id varchar(200) NOT NULL,
    enabled boolean NOT NULL,
    config varchar(128000),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (agent_id, skill_id),
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (skill_id) REFERENCES skills ON DELETE CASCADE
);
CREATE INDEX agent_skills_skill_id_idx ON agent_skills (skill_id);

-- A SKILL.md that an agent has written, until somebody decides on it. The other columns are what the text says.
CREATE TABLE skill_proposals (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    crew_id text NOT NULL,
    file_name varchar(255) NOT NULL,
    name varchar(200) NOT NULL,
    description varchar(10000) NOT NULL,
    description_quality varchar(10000) NOT NULL,
    category text NOT NULL
        CHECK (category IN ('CODING', 'AUTOMATION', 'DATA', 'DEVOPS', 'SUPPORT', 'SALES', 'WRITING', 'RESEARCH', 'PM',
            'DESIGN', 'SECURITY', 'FINANCE', 'OPS', 'CUSTOM')),
    scan_status text NOT NULL CHECK (scan_status IN ('UNSCANNED', 'CLEAN', 'FLAGGED')),
    content varchar(524288) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (crew_id, file_name),
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
