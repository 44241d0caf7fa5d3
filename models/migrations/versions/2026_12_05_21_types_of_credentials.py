"""The constraint of types holds for all credentials, and an index lists the newest first."""

from models.migrations.revisions import build_index, validate

revision = "2026_12_05_21"
down_revision = "2026_12_05_20"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate("credentials", "credentials_type_check")
    build_index(
        "credentials_newest_idx", "credentials (workspace_id, created_at, id) WHERE deleted_at IS NULL"
    )
