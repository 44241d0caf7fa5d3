"""Background jobs: the steps they have done, and the function that enqueues one.

PL/pgSQL looks at the tables of the engine when the function is called: they need not be there yet.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# Where one of the key waits already nothing is enqueued, and NULL returned: that one is held until the caller has committed, so that it does
# not begin before what it is to see is there. The earlier of two times counts.
ENQUEUE = """
    CREATE FUNCTION enqueue(p_job text, p_args json, p_id text, p_uniq text, p_part text, p_place text, p_due bigint) RETURNS text
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    BEGIN
        LOOP
            BEGIN
                RETURN dbos.enqueue_workflow(
                    p_job, 'job:' || p_job, ARRAY[p_args], workflow_id => p_id, app_version => '1', deduplication_id => p_uniq,
                    queue_partition_key => p_part, authenticated_user => p_place, delay_until_epoch_ms => p_due, application_name => 'crewship'
                );
            EXCEPTION WHEN unique_violation THEN
                UPDATE dbos.workflow_status SET delay_until_epoch_ms = coalesce(p_due, 0)
                WHERE queue_name = 'job:' || p_job AND deduplication_id = p_uniq AND status = 'DELAYED' AND delay_until_epoch_ms > coalesce(p_due, 0);
                PERFORM FROM dbos.workflow_status WHERE queue_name = 'job:' || p_job AND deduplication_id = p_uniq FOR SHARE;
                IF FOUND THEN
                    RETURN NULL;
                END IF; -- it has begun or ended since: once more
            END;
        END LOOP;
    END
    $$
"""


STATEMENTS = (
    """
    CREATE TABLE job_steps (
        root varchar(600) NOT NULL,
        step varchar(400) NOT NULL,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (root, step)
    )
    """,
    "CREATE INDEX job_steps_created_at_idx ON job_steps USING brin (created_at)",
    ENQUEUE,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
