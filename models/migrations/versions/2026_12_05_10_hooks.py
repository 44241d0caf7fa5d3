"""Hooks at events in the work of agents."""

from models.migrations.revisions import execute

revision = "2026_12_05_10"
down_revision = "2026_12_04_3"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE hooks (
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            id varchar(200) NOT NULL PRIMARY KEY,
            crew_id text,
            event text NOT NULL,
            handler_kind text NOT NULL,
            handler_config jsonb NOT NULL,
            secret bytea,
            matcher jsonb NOT NULL,
            enabled boolean NOT NULL,
            blocking boolean NOT NULL,
            created_by text REFERENCES users ON DELETE SET NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT hooks_workspace_id_id_key UNIQUE (workspace_id, id),
            CONSTRAINT hooks_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            CONSTRAINT hooks_event_check CHECK (event IN (
                'pre_task_delegation', 'post_task_delegation', 'pre_agent_start', 'post_agent_stop',
                'pre_tool_call', 'post_tool_call', 'pre_llm_call', 'post_llm_call', 'pre_memory_write',
                'post_memory_write', 'pre_peer_conversation', 'post_peer_conversation',
                'on_approval_requested', 'on_budget_exceeded', 'on_guardrail_triggered'
            )),
            CONSTRAINT hooks_handler_kind_check CHECK (handler_kind IN ('http', 'shell', 'subagent')),
            CONSTRAINT hooks_secret_check CHECK (substring(secret FROM 1 FOR 1) = '\\xff'::bytea),
            CONSTRAINT hooks_size_check CHECK (
                GREATEST(pg_column_size(handler_config), pg_column_size(matcher)) <= 16384
                AND octet_length(secret) <= 928),
            FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
        );
        CREATE INDEX hooks_list_idx ON hooks (workspace_id, created_at, id);
        CREATE INDEX hooks_crew_id_idx ON hooks (workspace_id, crew_id) WHERE crew_id IS NOT NULL;
        CREATE INDEX hooks_event_idx ON hooks (workspace_id, event, created_at, id) WHERE enabled;
    """)
