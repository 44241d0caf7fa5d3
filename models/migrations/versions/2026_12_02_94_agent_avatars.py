"""Stored pictures of agents."""

from models.migrations.revisions import execute

revision = "2026_12_02_94"
down_revision = "2026_12_02_93"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE agents ADD COLUMN avatar_digest varchar(200);
        CREATE TABLE agent_avatars (
            agent_id text NOT NULL,
            workspace_id text NOT NULL,
            svg varchar(65536) NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (agent_id, workspace_id),
            FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
            FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE
        );
    """)
