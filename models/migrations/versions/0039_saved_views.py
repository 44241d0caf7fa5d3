"""Saved views."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('saved_views',
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=False),
    sa.Column('name', sa.String(length=600), nullable=False),
    sa.Column('filters_json', sa.String(length=64000), nullable=False),
    sa.Column('sort_json', sa.String(length=64000), nullable=True),
    sa.Column('view_type', sa.Text(), nullable=False),
    sa.Column('is_default', sa.Boolean(), nullable=False),
    sa.Column('shared', sa.Boolean(), nullable=False),
    sa.CheckConstraint("view_type IN ('board', 'list')", name=op.f('saved_views_view_type_check')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('saved_views_user_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('saved_views_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('saved_views_pkey'))
    )
    op.create_index('saved_views_user_id_idx', 'saved_views', ['user_id'], unique=False)
    op.create_index('saved_views_workspace_id_is_default_idx', 'saved_views', ['workspace_id', sa.literal_column('is_default DESC'), 'name', 'id'], unique=False)
