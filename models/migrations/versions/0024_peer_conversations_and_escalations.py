"""Peer conversations and escalations; assignments in the order of their lists."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def peer_conversations() -> None:
    op.create_table('peer_conversations',
        sa.Column('workspace_id', sa.Text(), nullable=False),
        sa.Column('id', sa.String(length=200), nullable=False),
        sa.Column('chat_id', sa.Text(), nullable=True),
        sa.Column('from_agent_id', sa.Text(), nullable=False),
        sa.Column('to_agent_id', sa.Text(), nullable=False),
        sa.Column('question', sa.String(length=128000), nullable=False),
        sa.Column('response', sa.String(length=128000), nullable=True),
        sa.Column('error_message', sa.String(length=10000), nullable=True),
        sa.Column('status', sa.Text(), nullable=False),
        sa.Column('duration_ms', sa.BigInteger(), nullable=True),
        sa.Column('escalated', sa.Boolean(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('RUNNING', 'COMPLETED', 'FAILED')", name=op.f('peer_conversations_status_check')),
        sa.CheckConstraint('from_agent_id <> to_agent_id', name=op.f('peer_conversations_ends_check')),
        sa.ForeignKeyConstraint(['workspace_id', 'chat_id'], ['chats.workspace_id', 'chats.id'], name=op.f('peer_conversations_workspace_id_chat_id_fkey'), ondelete='SET NULL (chat_id)'),
        sa.ForeignKeyConstraint(['workspace_id', 'from_agent_id'], ['agents.workspace_id', 'agents.id'], name=op.f('peer_conversations_workspace_id_from_agent_id_fkey')),
        sa.ForeignKeyConstraint(['workspace_id', 'to_agent_id'], ['agents.workspace_id', 'agents.id'], name=op.f('peer_conversations_workspace_id_to_agent_id_fkey')),
        sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('peer_conversations_workspace_id_fkey'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('peer_conversations_pkey')),
        sa.UniqueConstraint('workspace_id', 'id', name=op.f('peer_conversations_workspace_id_id_key'))
    )
    op.create_index('peer_conversations_chat_id_idx', 'peer_conversations', ['workspace_id', 'chat_id'], unique=False, postgresql_where=sa.text('chat_id IS NOT NULL'))
    op.create_index('peer_conversations_from_agent_id_idx', 'peer_conversations', ['workspace_id', 'from_agent_id', 'created_at', 'id'], unique=False)
    op.create_index('peer_conversations_list_idx', 'peer_conversations', ['workspace_id', 'created_at', 'id'], unique=False)
    op.create_index('peer_conversations_to_agent_id_idx', 'peer_conversations', ['workspace_id', 'to_agent_id', 'created_at', 'id'], unique=False)


def escalations() -> None:
    op.create_table('escalations',
        sa.Column('workspace_id', sa.Text(), nullable=False),
        sa.Column('id', sa.String(length=200), nullable=False),
        sa.Column('crew_id', sa.Text(), nullable=False),
        sa.Column('chat_id', sa.Text(), nullable=True),
        sa.Column('from_agent_id', sa.Text(), nullable=False),
        sa.Column('peer_conversation_id', sa.Text(), nullable=True),
        sa.Column('credential_id', sa.Text(), nullable=True),
        sa.Column('type', sa.Text(), nullable=False),
        sa.Column('reason', sa.String(length=128000), nullable=False),
        sa.Column('context', sa.String(length=128000), nullable=True),
        sa.Column('data', sa.String(length=128000), nullable=True),
        sa.Column('status', sa.Text(), nullable=False),
        sa.Column('resolution', sa.String(length=128000), nullable=True),
        sa.Column('handed_over', sa.LargeBinary(), nullable=True),
        sa.Column('action', sa.Text(), nullable=False),
        sa.Column('redirect_to', sa.String(length=200), nullable=True),
        sa.Column('resolved_by', sa.String(length=200), nullable=True),
        sa.Column('resolved_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.CheckConstraint("(status = 'RESOLVED') = (resolved_at IS NOT NULL)", name=op.f('escalations_resolved_check')),
        sa.CheckConstraint("action IN ('approve', 'reject', 'redirect')", name=op.f('escalations_action_check')),
        sa.CheckConstraint("status IN ('PENDING', 'RESOLVED')", name=op.f('escalations_status_check')),
        sa.CheckConstraint("substring(handed_over FROM 1 FOR 1) = '\\xff'::bytea", name=op.f('escalations_handed_over_check')),
        sa.CheckConstraint("type <> 'CREDENTIAL' OR resolution IS NULL", name=op.f('escalations_kept_check')),
        sa.CheckConstraint("type IN ('TEXT', 'CREDENTIAL', 'LINK')", name=op.f('escalations_type_check')),
        sa.CheckConstraint('octet_length(handed_over) <= 512128', name=op.f('escalations_size_check')),
        sa.ForeignKeyConstraint(['workspace_id', 'chat_id'], ['chats.workspace_id', 'chats.id'], name=op.f('escalations_workspace_id_chat_id_fkey'), ondelete='SET NULL (chat_id)'),
        sa.ForeignKeyConstraint(['workspace_id', 'credential_id'], ['credentials.workspace_id', 'credentials.id'], name=op.f('escalations_workspace_id_credential_id_fkey'), ondelete='SET NULL (credential_id)'),
        sa.ForeignKeyConstraint(['workspace_id', 'crew_id'], ['crews.workspace_id', 'crews.id'], name=op.f('escalations_workspace_id_crew_id_fkey')),
        sa.ForeignKeyConstraint(['workspace_id', 'from_agent_id'], ['agents.workspace_id', 'agents.id'], name=op.f('escalations_workspace_id_from_agent_id_fkey')),
        sa.ForeignKeyConstraint(['workspace_id', 'peer_conversation_id'], ['peer_conversations.workspace_id', 'peer_conversations.id'], name=op.f('escalations_workspace_id_peer_conversation_id_fkey'), ondelete='SET NULL (peer_conversation_id)'),
        sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('escalations_workspace_id_fkey'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('escalations_pkey')),
        sa.UniqueConstraint('workspace_id', 'id', name=op.f('escalations_workspace_id_id_key'))
    )
    op.create_index('escalations_chat_id_idx', 'escalations', ['workspace_id', 'chat_id'], unique=False, postgresql_where=sa.text('chat_id IS NOT NULL'))
    op.create_index('escalations_credential_id_idx', 'escalations', ['workspace_id', 'credential_id'], unique=False, postgresql_where=sa.text('credential_id IS NOT NULL'))
    op.create_index('escalations_crew_id_idx', 'escalations', ['workspace_id', 'crew_id', 'created_at', 'id'], unique=False)
    op.create_index('escalations_from_agent_id_idx', 'escalations', ['workspace_id', 'from_agent_id', 'created_at', 'id'], unique=False)
    op.create_index('escalations_list_idx', 'escalations', ['workspace_id', 'created_at', 'id'], unique=False)
    op.create_index('escalations_peer_conversation_id_idx', 'escalations', ['workspace_id', 'peer_conversation_id'], unique=False, postgresql_where=sa.text('peer_conversation_id IS NOT NULL'))
    op.create_index('escalations_pending_idx', 'escalations', ['workspace_id', 'crew_id', 'from_agent_id'], unique=False, postgresql_where=sa.text("status = 'PENDING'"))


def assignments() -> None:
    op.drop_index(op.f('assignments_workspace_id_assigned_by_id_created_at_idx'), table_name='assignments')
    op.drop_index(op.f('assignments_workspace_id_assigned_to_id_created_at_idx'), table_name='assignments')
    op.create_index('assignments_assigned_by_id_idx', 'assignments', ['workspace_id', 'assigned_by_id', 'created_at', 'id'], unique=False)
    op.create_index('assignments_assigned_to_id_idx', 'assignments', ['workspace_id', 'assigned_to_id', 'created_at', 'id'], unique=False)
    op.create_index('assignments_list_idx', 'assignments', ['workspace_id', 'created_at', 'id'], unique=False)


def agents() -> None:
    """Of deleted ones too: what they have done stays their crew's."""
    name = "agents_workspace_id_crew_id_created_at_id_idx"
    op.drop_index(name, table_name="agents")
    op.create_index(name, "agents", ["workspace_id", "crew_id", "created_at", "id"], unique=False)


def upgrade() -> None:
    peer_conversations()
    escalations()
    assignments()
    agents()
