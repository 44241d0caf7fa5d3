"""Schedules and webhooks of routines, and the trigger of a run."""

from models.migrations.revisions import execute

revision = "2026_12_05_40"
down_revision = "2026_12_05_31"
branch_labels = None
depends_on = None

SCHEDULES = """
    CREATE TABLE routine_schedules (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        version integer NOT NULL,
        deleted_at timestamptz,
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT routine_schedules_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_id text NOT NULL,
        routine_version integer,
        name varchar(600) NOT NULL,
        cron_expr varchar(1000) NOT NULL,
        timezone varchar(100) NOT NULL,
        inputs jsonb NOT NULL,
        enabled boolean NOT NULL,
        jitter_seconds integer NOT NULL,
        catchup_policy text NOT NULL CONSTRAINT routine_schedules_catchup_policy_check CHECK (catchup_policy IN
            ('skip', 'once', 'all')),
        catchup_left integer NOT NULL,
        wake_routine_id text,
        wake_inputs jsonb,
        wake_fail_closed boolean NOT NULL,
        wake_check_count integer NOT NULL,
        wake_fire_count integer NOT NULL,
        last_wake_at timestamptz,
        last_wake_status text CONSTRAINT routine_schedules_last_wake_status_check CHECK (last_wake_status IN
            ('WOKE', 'SKIPPED', 'ERROR', 'HELD')),
        wake_run_id varchar(200),
        next_run_at timestamptz NOT NULL,
        current_run_id varchar(200),
        last_run_at timestamptz,
        last_status text CONSTRAINT routine_schedules_last_status_check CHECK (last_status IN
            ('COMPLETED', 'FAILED', 'SKIPPED', 'WAITING', 'DEDUPED')),
        last_run_id varchar(200),
        last_error varchar(10000),
        last_missed_count integer NOT NULL,
        consecutive_failures integer NOT NULL,
        max_consecutive_failures integer NOT NULL,
        disabled_reason text CONSTRAINT routine_schedules_disabled_reason_check CHECK (disabled_reason IN
            ('circuit_breaker')),
        by_agent boolean NOT NULL,
        crew_id text,
        run_as_id text,
        CONSTRAINT routine_schedules_counted_check CHECK (max_consecutive_failures >= 1 AND jitter_seconds >= 0),
        CONSTRAINT routine_schedules_size_check CHECK (
            GREATEST(pg_column_size(inputs), pg_column_size(wake_inputs)) <= 1048576),
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_id) REFERENCES routines (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, wake_routine_id) REFERENCES routines (workspace_id, id)
            ON DELETE SET NULL (wake_routine_id),
        FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE SET NULL (crew_id),
        FOREIGN KEY (run_as_id) REFERENCES users ON DELETE SET NULL
    );
    CREATE INDEX routine_schedules_list_idx ON routine_schedules (workspace_id, next_run_at, id)
        WHERE deleted_at IS NULL;
    CREATE INDEX routine_schedules_due_idx ON routine_schedules (next_run_at, id) WHERE enabled;
    CREATE INDEX routine_schedules_routine_id_idx ON routine_schedules (workspace_id, routine_id, next_run_at, id);
    CREATE INDEX routine_schedules_wake_routine_id_idx ON routine_schedules (workspace_id, wake_routine_id);
    CREATE INDEX routine_schedules_crew_id_idx ON routine_schedules (workspace_id, crew_id);
    CREATE INDEX routine_schedules_run_as_id_idx ON routine_schedules (run_as_id);
"""
WEBHOOKS = """
    CREATE TABLE routine_webhooks (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        deleted_at timestamptz,
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT routine_webhooks_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        routine_id text NOT NULL,
        routine_version integer,
        name varchar(600) NOT NULL,
        token_hash varchar(64) NOT NULL,
        scheme text NOT NULL CONSTRAINT routine_webhooks_scheme_check CHECK (scheme IN
            ('crewship', 'standard_webhooks', 'github', 'stripe', 'slack')),
        secret bytea CONSTRAINT routine_webhooks_secret_check CHECK (substring(secret FROM 1 FOR 1) = '\\xff'::bytea),
        inputs_template jsonb NOT NULL,
        enabled boolean NOT NULL,
        rate_limit_per_min integer NOT NULL,
        minute_began_at timestamptz,
        minute_count integer NOT NULL,
        last_fired_at timestamptz,
        last_status text CONSTRAINT routine_webhooks_last_status_check CHECK (last_status IN
            ('COMPLETED', 'FAILED', 'WAITING', 'CANCELLED', 'DEDUPED')),
        last_run_id varchar(200),
        fire_count integer NOT NULL,
        run_as_id text,
        CONSTRAINT routine_webhooks_counted_check CHECK (fire_count >= 0 AND minute_count >= 0),
        CONSTRAINT routine_webhooks_size_check CHECK (
            octet_length(secret) <= 928 AND pg_column_size(inputs_template) <= 1048576),
        UNIQUE (workspace_id, id),
        UNIQUE (token_hash),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, routine_id) REFERENCES routines (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (run_as_id) REFERENCES users ON DELETE SET NULL
    );
    CREATE INDEX routine_webhooks_list_idx ON routine_webhooks (workspace_id, created_at, id)
        WHERE deleted_at IS NULL;
    CREATE INDEX routine_webhooks_routine_id_idx ON routine_webhooks (workspace_id, routine_id, created_at, id);
    CREATE INDEX routine_webhooks_run_as_id_idx ON routine_webhooks (run_as_id);
"""
DELIVERIES = """
    CREATE TABLE routine_deliveries (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT routine_deliveries_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        webhook_id text NOT NULL,
        key varchar(64) NOT NULL,
        proof varchar(64),
        run_id varchar(200) NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (workspace_id, webhook_id, key),
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, webhook_id) REFERENCES routine_webhooks (workspace_id, id) ON DELETE CASCADE
    );
    CREATE INDEX routine_deliveries_proof_idx ON routine_deliveries (workspace_id, webhook_id, proof)
        WHERE proof IS NOT NULL;
    CREATE INDEX routine_deliveries_run_id_idx ON routine_deliveries (workspace_id, run_id);
    CREATE INDEX routine_deliveries_created_at_idx ON routine_deliveries (created_at);
"""
RUNS = """
    ALTER TABLE routine_runs
        ADD schedule_id text,
        ADD webhook_id text,
        ADD restricted boolean NOT NULL DEFAULT false,
        ADD chain_depth integer NOT NULL DEFAULT 0,
        ADD CONSTRAINT routine_runs_workspace_id_schedule_id_fkey FOREIGN KEY (workspace_id, schedule_id)
            REFERENCES routine_schedules (workspace_id, id) ON DELETE SET NULL (schedule_id) NOT VALID,
        ADD CONSTRAINT routine_runs_workspace_id_webhook_id_fkey FOREIGN KEY (workspace_id, webhook_id)
            REFERENCES routine_webhooks (workspace_id, id) ON DELETE SET NULL (webhook_id) NOT VALID,
        DROP CONSTRAINT routine_runs_size_check,
        ADD CONSTRAINT routine_runs_size_check CHECK (pg_column_size(inputs) <= 4194304
            AND GREATEST(pg_column_size(run_metadata), pg_column_size(tags), pg_column_size(warnings)) <= 262144
            AND pg_column_size(state) <= 1048576) NOT VALID;
"""
KINDS = """
    ALTER TABLE inbox_items
        DROP CONSTRAINT inbox_items_kind_check,
        ADD CONSTRAINT inbox_items_kind_check CHECK (kind IN ('waitpoint', 'escalation', 'failed_run', 'message',
            'memory_consolidation', 'schedule_missed', 'schedule_circuit_breaker_tripped')) NOT VALID;
"""


def upgrade() -> None:
    for statement in (SCHEDULES, WEBHOOKS, DELIVERIES, RUNS, KINDS):
        execute(statement)
