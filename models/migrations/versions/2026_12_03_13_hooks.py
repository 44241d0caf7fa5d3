"""Hooks at events in the work of agents."""

from models.migrations.revisions import execute

revision = "2026_12_03_13"
down_revision = "2026_12_03_12"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE hooks (
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            id varchar(200) NOT NULL PRIMARY KEY,
            crew_id varchar(200),
            event text NOT NULL,
            handler_kind text NOT NULL,
            handler_config jsonb NOT NULL,
            secret varchar(200),
            matcher jsonb NOT NULL,
            enabled boolean NOT NULL,
            blocking boolean NOT NULL,
            created_by text REFERENCES users ON DELETE SET NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT hooks_workspace_id_id_key UNIQUE (workspace_id, id),
            CONSTRAINT hooks_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
            FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
        );
        CREATE INDEX hooks_list_idx ON hooks (workspace_id, created_at, id);
        CREATE INDEX hooks_crew_id_idx ON hooks (workspace_id, crew_id) WHERE crew_id IS NOT NULL;
        CREATE INDEX hooks_event_idx ON hooks (workspace_id, event, created_at, id) WHERE enabled;
    """)
