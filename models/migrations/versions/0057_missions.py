"""Checkpoints, what agents say of their results, and lists of missions by status and lead, and of tasks by agent."""

from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None

LISTS = {
    "missions_lead_agent_id_list_idx": "missions (workspace_id, lead_agent_id, created_at, id)",
    "missions_status_list_idx": "missions (workspace_id, status, created_at, id)",
    "missions_crew_id_status_list_idx": "missions (workspace_id, crew_id, status, created_at, id)",
    "mission_tasks_assigned_agent_id_list_idx": "mission_tasks (workspace_id, assigned_agent_id, created_at, id)"
    " WHERE assigned_agent_id IS NOT NULL",
    "mission_tasks_workspace_id_completed_at_idx": "mission_tasks (workspace_id, completed_at)",
    "assignments_running_idx": "assignments (workspace_id, assigned_to_id) WHERE status = 'RUNNING'",
    "mission_tasks_failed_idx": "mission_tasks (workspace_id, updated_at) WHERE status = 'FAILED'",
}
GONE = (
    "missions_workspace_id_lead_agent_id_idx",
    "mission_tasks_workspace_id_assigned_agent_id_idx",
    "mission_tasks_workspace_id_assignment_id_idx",
)


TABLES = (
    """
    CREATE TABLE checkpoints (
        id varchar(200) NOT NULL,
        workspace_id text NOT NULL,
        crew_id text NOT NULL,
        mission_id text NOT NULL,
        label varchar(200),
        journal_cursor varchar(100) NOT NULL,
        state jsonb NOT NULL,
        fork_of text,
        created_by text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT checkpoints_pkey PRIMARY KEY (id),
        CONSTRAINT checkpoints_workspace_id_id_key UNIQUE (workspace_id, id),
        CONSTRAINT checkpoints_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        CONSTRAINT checkpoints_size_check CHECK (pg_column_size(state) <= 262144),
        CONSTRAINT checkpoints_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
        CONSTRAINT checkpoints_created_by_fkey FOREIGN KEY (created_by) REFERENCES users ON DELETE SET NULL,
        CONSTRAINT checkpoints_workspace_id_crew_id_fkey FOREIGN KEY (workspace_id, crew_id)
            REFERENCES crews (workspace_id, id),
        CONSTRAINT checkpoints_workspace_id_mission_id_fkey FOREIGN KEY (workspace_id, mission_id)
            REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
        CONSTRAINT checkpoints_workspace_id_fork_of_fkey FOREIGN KEY (workspace_id, fork_of)
            REFERENCES checkpoints (workspace_id, id) ON DELETE SET NULL (fork_of)
    )
    """,
    "CREATE INDEX checkpoints_list_idx ON checkpoints (workspace_id, mission_id, created_at, id)",
    "CREATE INDEX checkpoints_fork_of_idx ON checkpoints (workspace_id, fork_of) WHERE fork_of IS NOT NULL",
    "ALTER TABLE assignments ADD COLUMN handoff jsonb,"
    " ADD CONSTRAINT assignments_size_check CHECK (pg_column_size(handoff) <= 262144)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for name in GONE:
        op.execute(f"DROP INDEX {name}")
    for name, rows in LISTS.items():
        op.execute(f"CREATE INDEX {name} ON {rows}")
    op.execute(
        "CREATE UNIQUE INDEX mission_tasks_workspace_id_assignment_id_key ON mission_tasks (workspace_id, assignment_id)"
        " WHERE assignment_id IS NOT NULL"
    )
