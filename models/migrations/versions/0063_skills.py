"""The catalog of skills; skills of agents are of the catalog."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None



def columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column('version', sa.Integer(), nullable=False),
        sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.Column('id', sa.String(length=200), nullable=False),
        sa.Column('made_in', sa.Text(), nullable=True),
        sa.Column('name', sa.String(length=200), nullable=False),
        sa.Column('name_key', sa.String(length=600), nullable=False),
        sa.Column('slug', sa.String(length=200), nullable=False),
        sa.Column('display_name', sa.String(length=200), nullable=False),
        sa.Column('description', sa.String(length=10000), nullable=True),
        sa.Column('skill_version', sa.String(length=100), nullable=False),
        sa.Column('author', sa.String(length=200), nullable=True),
        sa.Column('category', sa.Text(), nullable=False),
        sa.Column('source', sa.Text(), nullable=False),
        sa.Column('icon', sa.String(length=100), nullable=True),
        sa.Column('verification', sa.Text(), nullable=False),
        sa.Column('downloads', sa.Integer(), nullable=False),
        sa.Column('rating_avg', sa.Float(), nullable=True),
        sa.Column('rating_count', sa.Integer(), nullable=False),
        sa.Column('tags', sa.String(length=10000), nullable=True),
        sa.Column('featured', sa.Boolean(), nullable=False),
        sa.Column('pricing_tier', sa.Text(), nullable=False),
        sa.Column('tool_count', sa.Integer(), nullable=True),
        sa.Column('vendor', sa.String(length=200), nullable=True),
        sa.Column('homepage', sa.String(length=2048), nullable=True),
        sa.Column('license', sa.String(length=200), nullable=True),
        sa.Column('spdx_license', sa.String(length=100), nullable=True),
        sa.Column('runtime', sa.Text(), nullable=False),
        sa.Column('maturity', sa.Text(), nullable=False),
        sa.Column('maturity_rank', sa.Integer(), sa.Computed("CASE maturity WHEN 'OFFICIAL' THEN 0 WHEN 'CURATED' THEN 1 WHEN 'COMMUNITY' THEN 2 ELSE 3 END", persisted=True), nullable=False),
        sa.Column('scan_status', sa.Text(), nullable=False),
        sa.Column('description_quality', sa.String(length=10000), nullable=True),
        sa.Column('content', sa.String(length=524288), nullable=True),
        sa.Column('credential_requirements', sa.String(length=10000), nullable=True),
        sa.Column('mcp_server_command', sa.String(length=2048), nullable=True),
        sa.Column('mcp_server_image', sa.String(length=2048), nullable=True),
        sa.Column('mcp_transport', sa.String(length=200), nullable=True),
        sa.Column('dependencies', sa.String(length=10000), nullable=True),
        sa.Column('allowed_domains', sa.String(length=10000), nullable=True),
        sa.Column('changelog', sa.String(length=10000), nullable=True),
        sa.Column('security_score', sa.Integer(), nullable=True),
        sa.Column('lifecycle_state', sa.Text(), nullable=False),
        sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
        sa.Column('usage_count', sa.Integer(), nullable=False),
        sa.Column('fingerprint', sa.String(length=100), nullable=True),
    )


def constraints() -> tuple[sa.Constraint, ...]:
    return (
        sa.CheckConstraint("category IN ('CODING', 'AUTOMATION', 'DATA', 'DEVOPS', 'SUPPORT', 'SALES', 'WRITING', 'RESEARCH', 'PM', 'DESIGN', 'SECURITY', 'FINANCE', 'OPS', 'CUSTOM')", name=op.f('skills_category_check')),
        sa.CheckConstraint("lifecycle_state IN ('active', 'stale', 'archived', 'deprecated')", name=op.f('skills_lifecycle_state_check')),
        sa.CheckConstraint("maturity IN ('OFFICIAL', 'CURATED', 'COMMUNITY', 'EXPERIMENTAL')", name=op.f('skills_maturity_check')),
        sa.CheckConstraint("pricing_tier IN ('FREE')", name=op.f('skills_pricing_tier_check')),
        sa.CheckConstraint("runtime IN ('INSTRUCTIONS', 'SCRIPT', 'MCP', 'HYBRID')", name=op.f('skills_runtime_check')),
        sa.CheckConstraint("scan_status IN ('UNSCANNED', 'CLEAN', 'FLAGGED')", name=op.f('skills_scan_status_check')),
        sa.CheckConstraint("source IN ('BUNDLED', 'CUSTOM', 'GENERATED', 'MARKETPLACE', 'MANAGED')", name=op.f('skills_source_check')),
        sa.CheckConstraint("verification IN ('UNVERIFIED', 'VERIFIED')", name=op.f('skills_verification_check')),
        sa.ForeignKeyConstraint(['made_in'], ['workspaces.id'], name=op.f('skills_made_in_fkey'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('id', name=op.f('skills_pkey')),
        sa.UniqueConstraint('name_key', name=op.f('skills_name_key_key')),
        sa.UniqueConstraint('slug', name=op.f('skills_slug_key')),
    )


def upgrade() -> None:
    op.create_table('skills', *columns(), *constraints())
    op.create_index('skills_list_idx', 'skills', ['maturity_rank', 'name', 'id'], unique=False)
    op.create_index('skills_made_in_idx', 'skills', ['made_in'], unique=False)
    op.execute('DELETE FROM agent_skills')  # no skill has been served yet: what is named there is none
    op.create_foreign_key(op.f('agent_skills_skill_id_fkey'), 'agent_skills', 'skills', ['skill_id'], ['id'], ondelete='CASCADE')
