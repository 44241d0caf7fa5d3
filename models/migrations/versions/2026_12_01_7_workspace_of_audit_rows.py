"""Rows of the audit log do not refer to their workspace: the reference locked its row for each of them."""

from models.migrations.revisions import execute

revision = "2026_12_01_7"
down_revision = "2026_12_01_6"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_workspace_id_fkey")
