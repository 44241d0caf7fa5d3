"""Lists of runs narrow by state, crew, mission and model: each in an order that an index has."""

from models.migrations.revisions import execute

revision = "2026_12_01_8"
down_revision = "2026_12_01_7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE runs ADD crew_id varchar(200), ADD mission_id varchar(200),
            ADD state text NOT NULL GENERATED ALWAYS AS (
                CASE
                    WHEN status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT') THEN status
                    WHEN waits_for IS NOT NULL AND waits_since IS NOT NULL THEN 'WAITING'
                    WHEN started_at IS NULL THEN 'QUEUED'
                    ELSE 'RUNNING'
                END
            ) STORED CONSTRAINT runs_state_check
                CHECK (state IN ('QUEUED', 'RUNNING', 'WAITING', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT'));
        UPDATE runs SET crew_id = agents.crew_id FROM agents
        WHERE agents.workspace_id = runs.workspace_id AND agents.id = runs.agent_id AND agents.crew_id IS NOT NULL;
        UPDATE runs SET mission_id = assignments.chat_id FROM assignments
        WHERE assignments.workspace_id = runs.workspace_id AND assignments.id = runs.assignment_id
            AND EXISTS (SELECT FROM missions WHERE missions.workspace_id = runs.workspace_id
                AND missions.id = assignments.chat_id);
        ALTER TABLE runs ALTER COLUMN state SET (n_distinct = 7);
        CREATE INDEX runs_state_list_idx ON runs (workspace_id, state, began_at DESC, id DESC);
        CREATE INDEX runs_model_list_idx ON runs (workspace_id, model, began_at DESC, id DESC);
        CREATE INDEX runs_crew_id_list_idx ON runs (workspace_id, crew_id, began_at DESC, id DESC);
        CREATE INDEX runs_mission_id_list_idx ON runs (workspace_id, mission_id, began_at DESC, id DESC);
    """)
