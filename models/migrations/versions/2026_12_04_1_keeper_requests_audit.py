"""An index of the keeper's requests in the order in which the audit log lists them."""

from models.migrations.revisions import build_index

revision = "2026_12_04_1"
down_revision = "2026_12_03_94"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index(
        "keeper_requests_audit_idx",
        "keeper_requests (workspace_id, (CASE WHEN decided_at IS NULL THEN created_at ELSE decided_at END), id)",
    )
