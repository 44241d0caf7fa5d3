"""Limits of routines: budgets that end runs, and what a run keeps from its start."""

from models.migrations.revisions import execute

revision = "2026_12_05_50"
down_revision = "2026_12_05_41"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE routines
            ADD budget_hard_stop boolean NOT NULL DEFAULT false,
            ADD budget_warned_in varchar(100),
            ADD budget_exceeded_in varchar(100);
        ALTER TABLE routine_waitpoints ADD grant_id varchar(200);
        ALTER TABLE routine_runs
            ADD reserved_usd double precision NOT NULL DEFAULT 0,
            ADD overrides jsonb NOT NULL DEFAULT '{}',
            ADD started_metadata jsonb,
            DROP CONSTRAINT routine_runs_size_check,
            ADD CONSTRAINT routine_runs_size_check CHECK (
                pg_column_size(inputs) <= 4194304
                AND GREATEST(pg_column_size(run_metadata), pg_column_size(started_metadata), pg_column_size(tags),
                    pg_column_size(warnings)) <= 262144
                AND GREATEST(pg_column_size(state), pg_column_size(overrides)) <= 1048576) NOT VALID;
    """)
