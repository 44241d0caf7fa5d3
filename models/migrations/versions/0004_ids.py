"""Ids are held to letters and digits: answers take them over unescaped. Not where clients choose them, and not of audit rows."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
    admin_token_uses agent_credentials agent_skills agents assignments cli_tokens crew_connections crew_integrations
    crew_members crews invitations labels memberships messages mission_tasks missions sessions tool_bindings users workspaces
"""


def upgrade() -> None:
    for table in TABLES.split():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$')")
