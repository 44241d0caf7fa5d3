"""Agents of a crew and of a role, and credentials of a status, in the order of their lists."""

from models.migrations.revisions import execute

revision = "2026_12_01_21"
down_revision = "2026_12_01_20"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE INDEX agents_crew_id_list_idx
            ON agents (workspace_id, crew_id, (expired_at IS NULL) DESC, listed_at DESC, id DESC)
            WHERE deleted_at IS NULL;
        CREATE INDEX agents_agent_role_list_idx
            ON agents (workspace_id, agent_role, (expired_at IS NULL) DESC, listed_at DESC, id DESC)
            WHERE deleted_at IS NULL;
        CREATE INDEX credentials_status_list_idx ON credentials (workspace_id, status, type, recency, id)
            WHERE deleted_at IS NULL;
    """)
