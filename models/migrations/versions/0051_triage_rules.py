"""Triage rules."""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('triage_rules',
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('name', sa.String(length=600), nullable=False),
    sa.Column('pattern', sa.String(length=1000), nullable=False),
    sa.Column('match_type', sa.Text(), nullable=False),
    sa.Column('crew_id', sa.Text(), nullable=True),
    sa.Column('assignee_id', sa.Text(), nullable=True),
    sa.Column('priority', sa.String(length=200), nullable=True),
    sa.Column('project_id', sa.Text(), nullable=True),
    sa.Column('labels_json', sa.String(length=64000), nullable=True),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('on_create', sa.Boolean(), nullable=False),
    sa.Column('match_count', sa.Integer(), nullable=False),
    sa.CheckConstraint("match_type IN ('contains', 'regex', 'exact')", name=op.f('triage_rules_match_type_check')),
    sa.ForeignKeyConstraint(['workspace_id', 'assignee_id'], ['agents.workspace_id', 'agents.id'], name=op.f('triage_rules_workspace_id_assignee_id_fkey'), ondelete='SET NULL (assignee_id)'),
    sa.ForeignKeyConstraint(['workspace_id', 'crew_id'], ['crews.workspace_id', 'crews.id'], name=op.f('triage_rules_workspace_id_crew_id_fkey'), ondelete='SET NULL (crew_id)'),
    sa.ForeignKeyConstraint(['workspace_id', 'project_id'], ['projects.workspace_id', 'projects.id'], name=op.f('triage_rules_workspace_id_project_id_fkey'), ondelete='SET NULL (project_id)'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('triage_rules_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('triage_rules_pkey'))
    )
    op.create_index('triage_rules_assignee_id_idx', 'triage_rules', ['workspace_id', 'assignee_id'], unique=False)
    op.create_index('triage_rules_crew_id_idx', 'triage_rules', ['workspace_id', 'crew_id'], unique=False)
    op.create_index('triage_rules_on_create_idx', 'triage_rules', ['workspace_id', 'position'], unique=False, postgresql_where=sa.text('on_create AND enabled'))
    op.create_index('triage_rules_position_idx', 'triage_rules', ['workspace_id', 'position', 'created_at', 'id'], unique=False)
    op.create_index('triage_rules_project_id_idx', 'triage_rules', ['workspace_id', 'project_id'], unique=False)
