"""Which memberships the person agreed to, and which workspace made an account; the look at a person's other workspaces."""

import sqlalchemy as sa
from alembic import op

revision = "0098"
down_revision = "0097"
branch_labels = None
depends_on = None

# What says that a membership was agreed to: an owner founded the workspace or was made one by the operator's provider,
# a service account is nobody, joining is in the audit log, and an invitation that was accepted is of the address. The
# rest was added by its id, and nobody was asked.
ACCEPTED = """
    UPDATE memberships m SET accepted_at = m.created_at
    WHERE m.role = 'OWNER' OR starts_with(m.user_id, 'sa_')
        OR EXISTS (
            SELECT FROM audit_logs l WHERE l.workspace_id = m.workspace_id AND l.entity_id = m.id
                AND l.action = 'workspace_member.joined'
        )
        OR EXISTS (
            SELECT FROM invitations i JOIN users u ON u.id = m.user_id
            WHERE i.workspace_id = m.workspace_id AND lower(i.email) = lower(u.email)
                AND i.accepted_at BETWEEN m.created_at - interval '1 minute' AND m.created_at + interval '1 minute'
        )
"""
# An account that an invitation made is as old as its membership, to the microsecond: one transaction made both. What a
# provider has made, or its person by signing up, is no workspace's.
FOUNDED = """
    UPDATE users u SET founded_in = m.workspace_id FROM memberships m
    WHERE m.user_id = u.id AND m.created_at = u.created_at AND m.role <> 'OWNER' AND m.accepted_at IS NOT NULL
        AND NOT starts_with(u.id, 'sa_')
        AND NOT EXISTS (SELECT FROM linked_identities l WHERE l.user_id = u.id AND l.created_at = u.created_at)
"""
# The person's memberships are seen for this one look: the setting is as it was when the function returns.
ELSEWHERE = """
    CREATE FUNCTION belongs_elsewhere(person text, place text) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        before text := current_setting('crewship.workspaces', true);
        found boolean;
    BEGIN
        PERFORM set_config('crewship.workspaces', '@' || person, false);
        found := EXISTS (
            SELECT FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
            WHERE m.user_id = person AND m.workspace_id <> place AND w.deleted_at IS NULL
        );
        PERFORM set_config('crewship.workspaces', coalesce(before, ''), false);
        RETURN found;
    END
    $$
"""


def upgrade() -> None:
    op.add_column("memberships", sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("users", sa.Column("founded_in", sa.Text(), nullable=True))
    op.create_foreign_key(
        "users_founded_in_fkey", "users", "workspaces", ["founded_in"], ["id"], ondelete="SET NULL"
    )
    op.create_index("users_founded_in_idx", "users", ["founded_in"])
    op.execute(ACCEPTED)
    op.execute(FOUNDED)
    op.execute(ELSEWHERE)


def downgrade() -> None:
    raise NotImplementedError
