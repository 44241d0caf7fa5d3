"""What steps have answered is for whoever takes a run over: when the run has ended, nobody does, and it is removed."""

from alembic import op

revision = "0097"
down_revision = "0096"
branch_labels = None
depends_on = None

SQL = (
    """
    CREATE FUNCTION forget_steps() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE run_steps SET outcome = NULL, said = NULL
        WHERE run_id = NEW.id AND workspace_id = NEW.workspace_id AND (outcome IS NOT NULL OR said IS NOT NULL);
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER steps_of_ended AFTER UPDATE OF status ON runs FOR EACH ROW"
    " WHEN (OLD.status = 'RUNNING' AND NEW.status <> 'RUNNING') EXECUTE FUNCTION forget_steps()",
    """
    UPDATE run_steps SET outcome = NULL, said = NULL FROM runs
    WHERE runs.id = run_steps.run_id AND runs.status <> 'RUNNING'
        AND (run_steps.outcome IS NOT NULL OR run_steps.said IS NOT NULL)
    """,
)


def upgrade() -> None:
    for statement in SQL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
