"""What people are told, where, and what they are asked: notifications, notification channels and approvals."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None


def upgrade() -> None:
    approvals()
    channels()
    notifications()


def approvals() -> None:
    op.create_table('approval_outcomes',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('tool', sa.String(length=200), nullable=False),
    sa.Column('approved', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('approval_outcomes_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('approval_outcomes_pkey'))
    )
    op.create_index('approval_outcomes_tool_idx', 'approval_outcomes', ['workspace_id', 'tool', 'created_at', 'id'], unique=False)
    op.create_table('approvals',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('crew_id', sa.String(length=200), nullable=False),
    sa.Column('agent_id', sa.String(length=200), nullable=False),
    sa.Column('mission_id', sa.String(length=200), nullable=False),
    sa.Column('requested_by', sa.String(length=200), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('reason', sa.String(length=10000), nullable=False),
    sa.Column('tool', sa.String(length=200), nullable=True),
    sa.Column('payload', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('decided_by', sa.String(length=200), nullable=False),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('comment', sa.String(length=10000), nullable=False),
    sa.Column('timeout_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("kind IN ('tool_call', 'cost_threshold', 'destructive_op', 'target_environment', 'custom')", name=op.f('approvals_kind_check')),
    sa.CheckConstraint("status IN ('pending', 'approved', 'denied', 'timeout', 'cancelled')", name=op.f('approvals_status_check')),
    sa.CheckConstraint('pg_column_size(payload) <= 262144', name=op.f('approvals_size_check')),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('approvals_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('approvals_pkey'))
    )
    op.create_index('approvals_due_idx', 'approvals', ['timeout_at'], unique=False, postgresql_where=sa.text("status = 'pending'"))
    op.create_index('approvals_list_idx', 'approvals', ['workspace_id', 'created_at', 'id'], unique=False)
    op.create_index('approvals_status_idx', 'approvals', ['workspace_id', 'status', 'created_at', 'id'], unique=False)


def channels() -> None:
    op.create_table('notification_channels',
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('url', sa.String(length=2048), nullable=True),
    sa.Column('address', sa.String(length=320), nullable=True),
    sa.Column('secret', sa.LargeBinary(), nullable=True),
    sa.Column('events', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("substring(secret FROM 1 FOR 1) = '\\xff'::bytea", name=op.f('notification_channels_secret_check')),
    sa.CheckConstraint("type IN ('email', 'webhook')", name=op.f('notification_channels_type_check')),
    sa.CheckConstraint('octet_length(secret) <= 928 AND pg_column_size(events) <= 1024', name=op.f('notification_channels_size_check')),
    sa.ForeignKeyConstraint(['created_by'], ['users.id'], name=op.f('notification_channels_created_by_fkey'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('notification_channels_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('notification_channels_pkey'))
    )
    op.create_index('notification_channels_list_idx', 'notification_channels', ['workspace_id', 'created_at', 'id'], unique=False, postgresql_where=sa.text('deleted_at IS NULL'))


def notifications() -> None:
    op.create_table('notifications',
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=False),
    sa.Column('from_workspace_id', sa.Text(), nullable=False),
    sa.Column('actor_type', sa.Text(), nullable=False),
    sa.Column('actor_id', sa.String(length=200), nullable=False),
    sa.Column('actor_name', sa.String(length=200), nullable=True),
    sa.Column('action', sa.String(length=100), nullable=False),
    sa.Column('entity_type', sa.String(length=100), nullable=False),
    sa.Column('entity_id', sa.String(length=200), nullable=True),
    sa.Column('entity_title', sa.String(length=600), nullable=True),
    sa.Column('read_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("actor_type IN ('user', 'agent', 'system')", name=op.f('notifications_actor_type_check')),
    sa.ForeignKeyConstraint(['from_workspace_id'], ['workspaces.id'], name=op.f('notifications_from_workspace_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('notifications_user_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('notifications_pkey'))
    )
    op.create_index('notifications_from_workspace_id_idx', 'notifications', ['from_workspace_id'], unique=False)
    op.create_index('notifications_unread_idx', 'notifications', ['user_id', 'created_at', 'id'], unique=False, postgresql_where=sa.text('read_at IS NULL'))
    op.create_index('notifications_user_id_idx', 'notifications', ['user_id', 'created_at', 'id'], unique=False)
