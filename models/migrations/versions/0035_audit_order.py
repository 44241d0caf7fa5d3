"""The rows of a seal are found among those of its workspace, however long ago the seal before was made."""

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX audit_logs_workspace_id_seq_idx ON audit_logs (workspace_id, seq)")
