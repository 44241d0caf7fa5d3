"""Runs have a trace: spans of every trigger, kept as long as frames."""

from models.migrations.revisions import execute

revision = "2026_12_01_4"
down_revision = "2026_12_01_3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE run_spans (
            workspace_id text NOT NULL,
            run_id text NOT NULL,
            seq integer NOT NULL,
            parent_seq integer,
            kind text NOT NULL CONSTRAINT run_spans_kind_check
                CHECK (kind IN ('RUN', 'MODEL_CALL', 'TOOL_CALL', 'MESSAGE', 'RETRY', 'WAIT')),
            name varchar(200) NOT NULL,
            status text NOT NULL CONSTRAINT run_spans_status_check
                CHECK (status IN ('RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
            started_at timestamptz NOT NULL,
            finished_at timestamptz,
            summary varchar(200),
            input jsonb,
            output varchar(64000),
            model_call_id varchar(200),
            approval_id varchar(200),
            changed varchar(200) NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (workspace_id, run_id, seq, created_at),
            CONSTRAINT run_spans_size_check CHECK (pg_column_size(input) <= 262144),
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE
        ) PARTITION BY RANGE (created_at);
        CREATE INDEX run_spans_run_id_changed_idx ON run_spans (run_id, changed);
        CREATE INDEX run_spans_created_at_idx ON run_spans USING brin (created_at);
        SELECT bare_partition('run_spans', 'run_spans_earlier');
        ALTER TABLE run_spans ATTACH PARTITION run_spans_earlier
            FOR VALUES FROM (MINVALUE) TO (date_trunc('week', now(), 'UTC'));
        SELECT bare_partition('run_spans', 'run_spans_later');
        ALTER TABLE run_spans ATTACH PARTITION run_spans_later
            FOR VALUES FROM (date_trunc('week', now(), 'UTC')) TO (MAXVALUE);
        SELECT keep_partitions('run_spans', 'week', 3);
        ALTER TABLE runs ADD parent_id varchar(200), ADD retry_of varchar(200);
        CREATE INDEX runs_parent_id_list_idx ON runs (workspace_id, parent_id, began_at DESC, id DESC)
            WHERE parent_id IS NOT NULL;
    """)
