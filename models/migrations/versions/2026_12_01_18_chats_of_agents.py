"""Chats of an agent in the order of their list."""

from models.migrations.revisions import execute

revision = "2026_12_01_18"
down_revision = "2026_12_01_17"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("CREATE INDEX chats_agent_id_list_idx ON chats (workspace_id, agent_id, updated_at);")
