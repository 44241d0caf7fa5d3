"""Recurring issues."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('recurring_issues',
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('crew_id', sa.Text(), nullable=False),
    sa.Column('title', sa.String(length=600), nullable=False),
    sa.Column('description', sa.String(length=64000), nullable=True),
    sa.Column('priority', sa.String(length=200), nullable=False),
    sa.Column('project_id', sa.Text(), nullable=True),
    sa.Column('milestone_id', sa.Text(), nullable=True),
    sa.Column('assignee_type', sa.String(length=200), nullable=True),
    sa.Column('assignee_id', sa.String(length=200), nullable=True),
    sa.Column('labels_json', sa.String(length=64000), nullable=True),
    sa.Column('cron_expression', sa.String(length=1000), nullable=False),
    sa.Column('time_zone', sa.String(length=100), nullable=True),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('next_run', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_run', sa.DateTime(timezone=True), nullable=True),
    sa.Column('run_count', sa.Integer(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['created_by'], ['users.id'], name=op.f('recurring_issues_created_by_fkey'), ondelete='SET NULL'),
    sa.ForeignKeyConstraint(['workspace_id', 'crew_id'], ['crews.workspace_id', 'crews.id'], name=op.f('recurring_issues_workspace_id_crew_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['workspace_id', 'milestone_id'], ['milestones.workspace_id', 'milestones.id'], name=op.f('recurring_issues_workspace_id_milestone_id_fkey'), ondelete='SET NULL (milestone_id)'),
    sa.ForeignKeyConstraint(['workspace_id', 'project_id'], ['projects.workspace_id', 'projects.id'], name=op.f('recurring_issues_workspace_id_project_id_fkey'), ondelete='SET NULL (project_id)'),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('recurring_issues_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('recurring_issues_pkey'))
    )
    op.create_index('recurring_issues_created_by_idx', 'recurring_issues', ['created_by'], unique=False)
    op.create_index('recurring_issues_crew_id_idx', 'recurring_issues', ['workspace_id', 'crew_id', 'created_at', 'id'], unique=False)
    op.create_index('recurring_issues_due_idx', 'recurring_issues', ['next_run', 'id'], unique=False, postgresql_where=sa.text('enabled'))
    op.create_index('recurring_issues_list_idx', 'recurring_issues', ['workspace_id', 'created_at', 'id'], unique=False)
    op.create_index('recurring_issues_milestone_id_idx', 'recurring_issues', ['workspace_id', 'milestone_id'], unique=False)
    op.create_index('recurring_issues_project_id_idx', 'recurring_issues', ['workspace_id', 'project_id', 'created_at', 'id'], unique=False)
