"""Runners on people's own machines, the calls that they are sent, and credentials that may go there."""

from models.migrations.revisions import execute

revision = "2026_12_02_3"
down_revision = "2026_12_02_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE runners (
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            version integer NOT NULL,
            workspace_id text NOT NULL,
            id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT runners_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            name varchar(100) NOT NULL,
            crew_id text,
            agent_id text,
            in_use boolean NOT NULL,
            token_hash varchar(200) NOT NULL UNIQUE,
            created_by varchar(200),
            platform varchar(200) NOT NULL,
            generation integer NOT NULL,
            instance varchar(200),
            connected_until timestamptz,
            seen_at timestamptz,
            refused_at timestamptz,
            CONSTRAINT runners_whose_check CHECK ((crew_id IS NULL) <> (agent_id IS NULL)),
            UNIQUE (workspace_id, id),
            UNIQUE (workspace_id, name),
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE
        );
        CREATE UNIQUE INDEX runners_crew_id_key ON runners (workspace_id, crew_id)
            WHERE in_use AND crew_id IS NOT NULL;
        CREATE UNIQUE INDEX runners_agent_id_key ON runners (workspace_id, agent_id)
            WHERE in_use AND agent_id IS NOT NULL;
        CREATE TABLE runner_calls (
            workspace_id text NOT NULL,
            id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT runner_calls_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            runner_id text NOT NULL,
            run_id text NOT NULL,
            agent_id varchar(200) NOT NULL,
            state text NOT NULL CONSTRAINT runner_calls_state_check
                CHECK (state IN ('QUEUED', 'TAKEN', 'RUNNING', 'ENDED', 'LOST')),
            request bytea NOT NULL CONSTRAINT runner_calls_request_check
                CHECK (substring(request FROM 1 FOR 1) = '\\xff'::bytea),
            shown bytea CONSTRAINT runner_calls_shown_check CHECK (substring(shown FROM 1 FOR 1) = '\\xff'::bytea),
            outcome bytea CONSTRAINT runner_calls_outcome_check
                CHECK (substring(outcome FROM 1 FOR 1) = '\\xff'::bytea),
            seq integer NOT NULL,
            taken integer NOT NULL,
            generation integer NOT NULL,
            leased_until timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT runner_calls_size_check CHECK (octet_length(request) <= 8800128
                AND octet_length(shown) <= 256128 AND octet_length(outcome) <= 512128),
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, runner_id) REFERENCES runners (workspace_id, id) ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE
        );
        CREATE INDEX runner_calls_queue_idx ON runner_calls (workspace_id, runner_id, created_at, id);
        CREATE INDEX runner_calls_run_id_idx ON runner_calls (workspace_id, run_id);
        CREATE INDEX runner_calls_created_at_idx ON runner_calls (created_at);
        ALTER TABLE credentials ADD COLUMN on_runners boolean DEFAULT false NOT NULL;
    """)
