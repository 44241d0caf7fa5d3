"""What calls of models have cost."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('cost_days',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('day', sa.Date(), nullable=False),
    sa.Column('agent_id', sa.String(length=200), nullable=False),
    sa.Column('crew_id', sa.String(length=200), nullable=False),
    sa.Column('model', sa.String(length=200), nullable=False),
    sa.Column('slot', sa.SmallInteger(), nullable=False),
    sa.Column('calls', sa.BigInteger(), nullable=False),
    sa.Column('input_tokens', sa.BigInteger(), nullable=False),
    sa.Column('output_tokens', sa.BigInteger(), nullable=False),
    sa.Column('cached_input_tokens', sa.BigInteger(), nullable=False),
    sa.Column('cache_creation_tokens', sa.BigInteger(), nullable=False),
    sa.Column('cost_micros', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('cost_days_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'day', 'agent_id', 'crew_id', 'model', 'slot', name=op.f('cost_days_pkey'))
    )
    op.create_table('model_calls',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('run_id', sa.String(length=200), nullable=False),
    sa.Column('step', sa.String(length=400), nullable=False),
    sa.Column('agent_id', sa.String(length=200), nullable=False),
    sa.Column('crew_id', sa.String(length=200), nullable=True),
    sa.Column('chat_id', sa.String(length=200), nullable=True),
    sa.Column('mission_id', sa.String(length=200), nullable=True),
    sa.Column('provider', sa.String(length=200), nullable=False),
    sa.Column('model', sa.String(length=200), nullable=False),
    sa.Column('input_tokens', sa.BigInteger(), nullable=False),
    sa.Column('output_tokens', sa.BigInteger(), nullable=False),
    sa.Column('cached_input_tokens', sa.BigInteger(), nullable=False),
    sa.Column('cache_creation_tokens', sa.BigInteger(), nullable=False),
    sa.Column('cost_micros', sa.BigInteger(), nullable=True),
    sa.Column('estimated', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('model_calls_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('model_calls_pkey')),
    sa.UniqueConstraint('workspace_id', 'run_id', 'step', name=op.f('model_calls_workspace_id_run_id_step_key'))
    )
    op.create_index('model_calls_agent_id_idx', 'model_calls', ['workspace_id', 'agent_id', 'created_at', 'id'], unique=False)
    op.create_index('model_calls_crew_id_idx', 'model_calls', ['workspace_id', 'crew_id', 'created_at', 'id'], unique=False)
    op.create_index('model_calls_list_idx', 'model_calls', ['workspace_id', 'created_at', 'id'], unique=False)
    op.create_index('model_calls_mission_id_idx', 'model_calls', ['workspace_id', 'mission_id', 'created_at', 'id'], unique=False)
