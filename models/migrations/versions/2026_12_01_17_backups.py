"""The lock of backups."""

from models.migrations.revisions import execute

revision = "2026_12_01_17"
down_revision = "2026_12_01_16"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        CREATE TABLE backup_locks (
            workspace_id text NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
            acquired_by varchar(200) NOT NULL,
            acquired_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (workspace_id)
        );
    """)
