"""Templates of work; every workspace has the four that are built in."""

from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE workflow_templates (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        name varchar(600) NOT NULL,
        description varchar(10000),
        template_json varchar(128000) NOT NULL,
        icon varchar(200),
        color varchar(200),
        is_builtin boolean NOT NULL,
        version integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (workspace_id, name)
    )
    """,
    "CREATE INDEX workflow_templates_name_idx ON workflow_templates (workspace_id, is_builtin DESC, name, id)",
    "CREATE INDEX workflow_templates_created_at_idx"
    " ON workflow_templates (workspace_id, is_builtin DESC, created_at, name, id)",
    """
    INSERT INTO workflow_templates (id, workspace_id, name, description, template_json, icon, color, is_builtin, version)
    SELECT 'wt_' || left(replace(gen_random_uuid()::text, '-', ''), 16), workspaces.id, pattern.*, true, 1
    FROM workspaces CROSS JOIN (VALUES
        (
            'sequential', 'One task after the other',
            '{"name":"sequential","description":"One task after the other","steps":['
            '{"id":"step-1","title":"Step 1","agent_role":"agent"},'
            '{"id":"step-2","title":"Step 2","agent_role":"agent","depends_on":["step-1"]},'
            '{"id":"step-3","title":"Step 3","agent_role":"agent","depends_on":["step-2"]}]}',
            'arrow-right', '#3b82f6'
        ),
        (
            'parallel', 'Tasks side by side, and one that puts their results together',
            '{"name":"parallel","description":"Tasks side by side, and one that puts their results together","steps":['
            '{"id":"task-a","title":"Parallel Task A","agent_role":"agent"},'
            '{"id":"task-b","title":"Parallel Task B","agent_role":"agent"},'
            '{"id":"task-c","title":"Parallel Task C","agent_role":"agent"},'
            '{"id":"aggregate","title":"Aggregate Results","agent_role":"lead",'
            '"depends_on":["task-a","task-b","task-c"]}]}',
            'git-branch', '#22c55e'
        ),
        (
            'pipeline', 'One task that prepares, two side by side, and one that finishes',
            '{"name":"pipeline","description":"One task that prepares, two side by side, and one that finishes",'
            '"steps":[{"id":"prepare","title":"Prepare","agent_role":"agent"},'
            '{"id":"work-a","title":"Work Stream A","agent_role":"agent","depends_on":["prepare"]},'
            '{"id":"work-b","title":"Work Stream B","agent_role":"agent","depends_on":["prepare"]},'
            '{"id":"finalize","title":"Finalize","agent_role":"lead","depends_on":["work-a","work-b"]}]}',
            'git-merge', '#8b5cf6'
        ),
        (
            'dev-test-loop', 'Development and test by turns, three times at most',
            '{"name":"dev-test-loop","description":"Development and test by turns, three times at most","steps":['
            '{"id":"develop","title":"Implement feature","agent_role":"developer","max_iterations":3},'
            '{"id":"test","title":"Test and review","agent_role":"tester","depends_on":["develop"],'
            '"max_iterations":3,"loop_back_to":"develop"}]}',
            'repeat', '#f59e0b'
        )
    ) AS pattern
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)
