"""How long each workspace keeps what expires."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('retention_rules',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('days', sa.Integer(), nullable=False),
    sa.Column('removed_until', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("kind IN ('events', 'frames', 'journal', 'mcp_calls', 'memory_versions', 'idempotency_keys', 'audit')", name=op.f('retention_rules_kind_check')),
    sa.CheckConstraint('days >= 0', name=op.f('retention_rules_kept_check')),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('retention_rules_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', 'kind', name=op.f('retention_rules_pkey'))
    )
