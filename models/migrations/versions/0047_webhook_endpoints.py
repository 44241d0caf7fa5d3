"""Webhook endpoints, and the log of their deliveries."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('webhook_endpoints',
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('name', sa.String(length=600), nullable=False),
    sa.Column('url', sa.String(length=2048), nullable=False),
    sa.Column('event_types', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('secret', sa.LargeBinary(), nullable=True),
    sa.Column('old_secret', sa.LargeBinary(), nullable=True),
    sa.Column('old_secret_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('failing_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.CheckConstraint("substring(old_secret FROM 1 FOR 1) = '\\xff'::bytea", name=op.f('webhook_endpoints_old_secret_check')),
    sa.CheckConstraint("substring(secret FROM 1 FOR 1) = '\\xff'::bytea", name=op.f('webhook_endpoints_secret_check')),
    sa.CheckConstraint('pg_column_size(event_types) <= 65536 AND GREATEST(octet_length(secret), octet_length(old_secret)) <= 928', name=op.f('webhook_endpoints_size_check')),
    sa.ForeignKeyConstraint(['created_by'], ['users.id'], name=op.f('webhook_endpoints_created_by_fkey'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('webhook_endpoints_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('webhook_endpoints_pkey')),
    sa.UniqueConstraint('workspace_id', 'id', name=op.f('webhook_endpoints_workspace_id_id_key'))
    )
    op.create_index('webhook_endpoints_list_idx', 'webhook_endpoints', ['workspace_id', 'created_at', 'id'], unique=False)
    op.create_table('webhook_deliveries',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('endpoint_id', sa.Text(), nullable=False),
    sa.Column('event_type', sa.String(length=200), nullable=False),
    sa.Column('subject', sa.String(length=800), nullable=False),
    sa.Column('lane', sa.Integer(), nullable=False),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('xid', sa.BigInteger(), nullable=False),
    sa.Column('seq', sa.BigInteger(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('status', sa.Integer(), nullable=True),
    sa.Column('answer', sa.String(length=1024), nullable=True),
    sa.Column('error', sa.String(length=200), nullable=True),
    sa.Column('happened_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('delivered_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f('webhook_deliveries_state_check')),
    sa.CheckConstraint('pg_column_size(payload) <= 1048576', name=op.f('webhook_deliveries_size_check')),
    sa.ForeignKeyConstraint(['workspace_id', 'endpoint_id'], ['webhook_endpoints.workspace_id', 'webhook_endpoints.id'], name=op.f('webhook_deliveries_workspace_id_endpoint_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('webhook_deliveries_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('webhook_deliveries_pkey'))
    )
    op.create_index('webhook_deliveries_created_at_idx', 'webhook_deliveries', ['created_at'], unique=False)
    op.create_index('webhook_deliveries_lane_idx', 'webhook_deliveries', ['workspace_id', 'endpoint_id', 'lane', 'xid', 'seq'], unique=False, postgresql_where=sa.text("state = 'pending'"))
    op.create_index('webhook_deliveries_list_idx', 'webhook_deliveries', ['workspace_id', 'endpoint_id', 'created_at', 'id'], unique=False)
    op.create_index('webhook_deliveries_state_idx', 'webhook_deliveries', ['workspace_id', 'endpoint_id', 'state', 'created_at', 'id'], unique=False)
