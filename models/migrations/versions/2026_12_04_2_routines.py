"""Routines with their versions, and what is kept beside them: overrides of steps, state and standing approvals."""

from models.migrations.revisions import execute

revision = "2026_12_04_2"
down_revision = "2026_12_04_1"
branch_labels = None
depends_on = None


DEFINITIONS = """
    CREATE TABLE routines (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL,
        deleted_at timestamptz,
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT routines_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        slug varchar(64) NOT NULL,
        name varchar(600) NOT NULL,
        description varchar(10000),
        icon varchar(64),
        color varchar(64),
        status text NOT NULL CONSTRAINT routines_status_check
            CHECK (status IN ('active', 'proposed', 'disabled')),
        authored_via text NOT NULL CONSTRAINT routines_authored_via_check
            CHECK (authored_via IN ('user_api', 'agent_tool_call', 'imported', 'seed')),
        author_crew_id text,
        author_agent_id text,
        author_user_id text,
        head_version integer NOT NULL,
        approved_version integer,
        definition_hash varchar(64) NOT NULL,
        dsl_version varchar(200) NOT NULL,
        manifest jsonb NOT NULL,
        risk_reasons jsonb NOT NULL,
        tags jsonb NOT NULL,
        monthly_budget_usd double precision NOT NULL
            CONSTRAINT routines_budget_check CHECK (monthly_budget_usd >= 0),
        invocation_count integer NOT NULL,
        last_invoked_at timestamptz,
        last_invocation_status text CONSTRAINT routines_last_invocation_status_check
            CHECK (last_invocation_status IN ('COMPLETED', 'FAILED')),
        CONSTRAINT routines_size_check CHECK (pg_column_size(manifest) <= 16777216
            AND GREATEST(pg_column_size(risk_reasons), pg_column_size(tags)) <= 262144),
        UNIQUE (workspace_id, id),
        UNIQUE (workspace_id, slug),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, author_crew_id) REFERENCES crews (workspace_id, id)
            ON DELETE SET NULL (author_crew_id),
        FOREIGN KEY (workspace_id, author_agent_id) REFERENCES agents (workspace_id, id)
            ON DELETE SET NULL (author_agent_id),
        FOREIGN KEY (author_user_id) REFERENCES users ON DELETE SET NULL
    );
    CREATE INDEX routines_name_idx ON routines (workspace_id, name, id);
    CREATE INDEX routines_popular_idx ON routines (workspace_id, invocation_count DESC, name, id);
    CREATE INDEX routines_recent_idx
        ON routines (workspace_id, coalesce(last_invoked_at, created_at) DESC, name, id);
    CREATE INDEX routines_author_crew_id_idx ON routines (workspace_id, author_crew_id);
    CREATE INDEX routines_author_agent_id_idx ON routines (workspace_id, author_agent_id);
    CREATE INDEX routines_author_user_id_idx ON routines (author_user_id);
    CREATE TABLE routine_versions (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT routine_versions_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_id text NOT NULL,
        number integer NOT NULL,
        definition_hash varchar(64) NOT NULL,
        dsl_version varchar(200) NOT NULL,
        source varchar(1048576) NOT NULL,
        is_json boolean NOT NULL,
        definition jsonb NOT NULL,
        author_type text NOT NULL CONSTRAINT routine_versions_author_type_check
            CHECK (author_type IN ('user', 'agent', 'imported', 'system')),
        author_id varchar(200) NOT NULL,
        parent_version integer,
        change_summary varchar(500),
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT routine_versions_size_check CHECK (pg_column_size(definition) <= 16777216),
        UNIQUE (workspace_id, id),
        UNIQUE (workspace_id, routine_id, number),
        UNIQUE (workspace_id, routine_id, definition_hash),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_id) REFERENCES routines (workspace_id, id) ON DELETE CASCADE
    );
"""
BESIDE = """
    CREATE TABLE routine_step_overrides (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT routine_step_overrides_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_id text NOT NULL,
        step_id varchar(64) NOT NULL,
        prompt varchar(64000),
        model_override varchar(200),
        UNIQUE (workspace_id, routine_id, step_id),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_id) REFERENCES routines (workspace_id, id) ON DELETE CASCADE
    );
    CREATE TABLE routine_state (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT routine_state_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_id text NOT NULL,
        schedule_id varchar(200) NOT NULL,
        key varchar(128) COLLATE "C" NOT NULL,
        value varchar(64000) NOT NULL,
        UNIQUE (workspace_id, routine_id, schedule_id, key),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_id) REFERENCES routines (workspace_id, id) ON DELETE CASCADE
    );
    CREATE TABLE routine_trust_grants (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT routine_trust_grants_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_id text NOT NULL,
        step_id varchar(64) NOT NULL,
        definition_hash varchar(64) NOT NULL,
        granted_by_user_id text,
        granted_at timestamptz NOT NULL DEFAULT now(),
        reason varchar(500),
        prior_approvals integer NOT NULL,
        max_uses integer,
        uses integer NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        revoked_by_user_id text,
        revoke_reason varchar(500),
        CONSTRAINT routine_trust_grants_counted_check
            CHECK (max_uses >= 1 AND uses >= 0 AND prior_approvals >= 0),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_id) REFERENCES routines (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (granted_by_user_id) REFERENCES users ON DELETE SET NULL,
        FOREIGN KEY (revoked_by_user_id) REFERENCES users ON DELETE SET NULL
    );
    CREATE UNIQUE INDEX routine_trust_grants_live_key
        ON routine_trust_grants (workspace_id, routine_id, step_id, definition_hash) WHERE revoked_at IS NULL;
    CREATE INDEX routine_trust_grants_list_idx
        ON routine_trust_grants (workspace_id, routine_id, granted_at, id);
    CREATE INDEX routine_trust_grants_granted_by_user_id_idx ON routine_trust_grants (granted_by_user_id);
    CREATE INDEX routine_trust_grants_revoked_by_user_id_idx ON routine_trust_grants (revoked_by_user_id);
"""


def upgrade() -> None:
    execute(DEFINITIONS)
    execute(BESIDE)
