"""Changes of the email of an account."""

import sqlalchemy as sa
from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('email_changes',
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=False),
    sa.Column('email', sa.String(length=320), nullable=False),
    sa.Column('old_email', sa.String(length=320), nullable=False),
    sa.Column('token_hash', sa.String(length=200), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('email_changes_user_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('email_changes_pkey')),
    sa.UniqueConstraint('token_hash', name=op.f('email_changes_token_hash_key'))
    )
    op.create_index('email_changes_expires_at_idx', 'email_changes', ['expires_at'], unique=False)
    op.create_index('email_changes_user_id_created_at_idx', 'email_changes', ['user_id', 'created_at'], unique=False)
