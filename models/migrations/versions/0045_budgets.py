"""Budgets, what is spent of them, and what runs under way have set aside."""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

RELEASED = (
    """
    CREATE FUNCTION release_reservations() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM run_reservations WHERE workspace_id = NEW.workspace_id AND run_id = NEW.id;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER reservations_of_ended AFTER UPDATE OF status ON runs FOR EACH ROW"
    " WHEN (OLD.status = 'RUNNING' AND NEW.status <> 'RUNNING') EXECUTE FUNCTION release_reservations()",
)


def upgrade() -> None:
    op.create_table('budget_spends',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('budget_id', sa.String(length=200), nullable=False),
    sa.Column('span', sa.String(length=100), nullable=False),
    sa.Column('slot', sa.SmallInteger(), nullable=False),
    sa.Column('micros', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('budget_spends_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'budget_id', 'span', 'slot', name=op.f('budget_spends_pkey'))
    )
    op.create_table('budgets',
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('crew_id', sa.Text(), nullable=True),
    sa.Column('agent_id', sa.Text(), nullable=True),
    sa.Column('mission_id', sa.Text(), nullable=True),
    sa.Column('period', sa.Text(), nullable=False),
    sa.Column('amount_micros', sa.BigInteger(), nullable=False),
    sa.Column('reservation_micros', sa.BigInteger(), nullable=False),
    sa.Column('soft_limit_percent', sa.Integer(), nullable=True),
    sa.Column('hard_stop', sa.Boolean(), nullable=False),
    sa.Column('warned_in', sa.String(length=100), nullable=True),
    sa.Column('exceeded_in', sa.String(length=100), nullable=True),
    sa.CheckConstraint("num_nonnulls(crew_id, agent_id, mission_id) = CASE scope WHEN 'workspace' THEN 0 ELSE 1 END AND CASE scope WHEN 'crew' THEN crew_id IS NOT NULL WHEN 'agent' THEN agent_id IS NOT NULL WHEN 'mission' THEN mission_id IS NOT NULL ELSE true END", name=op.f('budgets_subject_check')),
    sa.CheckConstraint("period IN ('day', 'total')", name=op.f('budgets_period_check')),
    sa.CheckConstraint("scope IN ('workspace', 'crew', 'agent', 'mission')", name=op.f('budgets_scope_check')),
    sa.CheckConstraint('amount_micros > 0 AND reservation_micros > 0 AND soft_limit_percent BETWEEN 1 AND 100', name=op.f('budgets_amounts_check')),
    sa.ForeignKeyConstraint(['workspace_id', 'agent_id'], ['agents.workspace_id', 'agents.id'], name=op.f('budgets_workspace_id_agent_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id', 'crew_id'], ['crews.workspace_id', 'crews.id'], name=op.f('budgets_workspace_id_crew_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id', 'mission_id'], ['missions.workspace_id', 'missions.id'], name=op.f('budgets_workspace_id_mission_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('budgets_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('budgets_pkey')),
    sa.UniqueConstraint('workspace_id', 'crew_id', 'agent_id', 'mission_id', 'period', name=op.f('budgets_workspace_id_crew_id_agent_id_mission_id_period_key'), postgresql_nulls_not_distinct=True),
    sa.UniqueConstraint('workspace_id', 'id', name=op.f('budgets_workspace_id_id_key'))
    )
    op.create_index('budgets_agent_id_idx', 'budgets', ['workspace_id', 'agent_id', 'created_at', 'id'], unique=False, postgresql_where=sa.text('agent_id IS NOT NULL'))
    op.create_index('budgets_crew_id_idx', 'budgets', ['workspace_id', 'crew_id', 'created_at', 'id'], unique=False, postgresql_where=sa.text('crew_id IS NOT NULL'))
    op.create_index('budgets_list_idx', 'budgets', ['workspace_id', 'created_at', 'id'], unique=False)
    op.create_index('budgets_mission_id_idx', 'budgets', ['workspace_id', 'mission_id', 'created_at', 'id'], unique=False, postgresql_where=sa.text('mission_id IS NOT NULL'))
    op.create_table('run_reservations',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('run_id', sa.Text(), nullable=False),
    sa.Column('budget_id', sa.Text(), nullable=False),
    sa.Column('granted_micros', sa.BigInteger(), nullable=False),
    sa.Column('micros', sa.BigInteger(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id', 'budget_id'], ['budgets.workspace_id', 'budgets.id'], name=op.f('run_reservations_workspace_id_budget_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id', 'run_id'], ['runs.workspace_id', 'runs.id'], name=op.f('run_reservations_workspace_id_run_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('run_reservations_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'run_id', 'budget_id', name=op.f('run_reservations_pkey'))
    )
    op.create_index('run_reservations_budget_id_idx', 'run_reservations', ['workspace_id', 'budget_id'], unique=False)
    for statement in RELEASED:
        op.execute(statement)
