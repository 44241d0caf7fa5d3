"""Runs of routines, the records of their steps, and what they wait for."""

from models.migrations.revisions import execute

revision = "2026_12_04_3"
down_revision = "2026_12_04_2"
branch_labels = None
depends_on = None

RUNS = """
    CREATE TABLE routine_runs (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT routine_runs_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_id text NOT NULL,
        definition_hash varchar(64) NOT NULL,
        pinned boolean NOT NULL,
        status text NOT NULL CONSTRAINT routine_runs_status_check CHECK (status IN
            ('queued', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'interrupted', 'dry_run')),
        current_step_id varchar(200),
        inputs jsonb NOT NULL,
        run_metadata jsonb NOT NULL,
        state jsonb NOT NULL,
        tags jsonb NOT NULL,
        concurrency_key varchar(200),
        warnings jsonb NOT NULL,
        output varchar(8388608),
        error_message varchar(10000),
        error_fingerprint varchar(200),
        failed_at_step varchar(200),
        cost_usd double precision NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        stopping_at timestamptz,
        triggered_via text NOT NULL CONSTRAINT routine_runs_triggered_via_check CHECK (triggered_via IN
            ('manual', 'schedule', 'webhook', 'call_pipeline', 'wake_check', 'automation', 'issue')),
        triggered_by_id varchar(200),
        invoking_user_id text,
        invoking_crew_id text,
        invoking_agent_id text,
        replay_of varchar(200),
        CONSTRAINT routine_runs_size_check CHECK (GREATEST(pg_column_size(inputs), pg_column_size(state)) <= 1048576
            AND GREATEST(pg_column_size(run_metadata), pg_column_size(tags), pg_column_size(warnings)) <= 262144),
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_id) REFERENCES routines (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, invoking_crew_id) REFERENCES crews (workspace_id, id)
            ON DELETE SET NULL (invoking_crew_id),
        FOREIGN KEY (workspace_id, invoking_agent_id) REFERENCES agents (workspace_id, id)
            ON DELETE SET NULL (invoking_agent_id),
        FOREIGN KEY (invoking_user_id) REFERENCES users ON DELETE SET NULL
    );
    CREATE INDEX routine_runs_list_idx ON routine_runs (workspace_id, started_at, id);
    CREATE INDEX routine_runs_status_idx ON routine_runs (workspace_id, status, started_at, id);
    CREATE INDEX routine_runs_concurrency_key_idx ON routine_runs (workspace_id, concurrency_key)
        WHERE status = 'running' AND concurrency_key IS NOT NULL;
    CREATE INDEX routine_runs_routine_id_idx ON routine_runs (workspace_id, routine_id, started_at, id);
    CREATE INDEX routine_runs_invoking_crew_id_idx ON routine_runs (workspace_id, invoking_crew_id);
    CREATE INDEX routine_runs_invoking_agent_id_idx ON routine_runs (workspace_id, invoking_agent_id);
    CREATE INDEX routine_runs_invoking_user_id_idx ON routine_runs (invoking_user_id);
"""
STEPS = """
    CREATE TABLE routine_run_steps (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT routine_run_steps_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_run_id text NOT NULL,
        path varchar(200) COLLATE "C" NOT NULL,
        step_type varchar(200) NOT NULL,
        state text NOT NULL CONSTRAINT routine_run_steps_state_check CHECK (state IN
            ('started', 'retrying', 'parked', 'completed', 'failed', 'skipped')),
        attempt integer NOT NULL,
        output varchar(8388608),
        error varchar(10000),
        cost_usd double precision NOT NULL,
        started_at timestamptz NOT NULL DEFAULT now(),
        ended_at timestamptz,
        due_at timestamptz,
        UNIQUE (workspace_id, routine_run_id, path),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_run_id) REFERENCES routine_runs (workspace_id, id) ON DELETE CASCADE
    );
"""
WAITPOINTS = """
    CREATE TABLE routine_waitpoints (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY CONSTRAINT routine_waitpoints_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_run_id text NOT NULL,
        path varchar(200) COLLATE "C" NOT NULL,
        token varchar(32),
        prompt varchar(64000) NOT NULL,
        status text NOT NULL CONSTRAINT routine_waitpoints_status_check CHECK (status IN
            ('pending', 'approved', 'denied', 'timed_out', 'cancelled')),
        timeout_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        decided_at timestamptz,
        decided_by_user_id text,
        comment varchar(2000),
        UNIQUE (workspace_id, routine_run_id, path),
        UNIQUE (token),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_run_id) REFERENCES routine_runs (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (decided_by_user_id) REFERENCES users ON DELETE SET NULL
    );
    CREATE INDEX routine_waitpoints_pending_idx ON routine_waitpoints (workspace_id, created_at, id)
        WHERE status = 'pending';
    CREATE INDEX routine_waitpoints_decided_by_user_id_idx ON routine_waitpoints (decided_by_user_id);
"""
SIGNALS = """
    CREATE TABLE routine_signal_waits (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT routine_signal_waits_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_run_id text NOT NULL,
        path varchar(200) COLLATE "C" NOT NULL,
        event_type varchar(200) NOT NULL,
        status text NOT NULL CONSTRAINT routine_signal_waits_status_check CHECK (status IN
            ('pending', 'delivered', 'consumed')),
        payload varchar(262144),
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (workspace_id, routine_run_id, path),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_run_id) REFERENCES routine_runs (workspace_id, id) ON DELETE CASCADE
    );
    CREATE INDEX routine_signal_waits_pending_idx
        ON routine_signal_waits (workspace_id, event_type, created_at, id) WHERE status = 'pending';
"""


def upgrade() -> None:
    for table in (RUNS, STEPS, WAITPOINTS, SIGNALS):
        execute(table)
