"""The constraints of notification channels hold for all rows; an index has the channels of a member."""

from models.migrations.revisions import build_index, validate

revision = "2026_12_03_92"
down_revision = "2026_12_03_91"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for constraint in ("type_check", "size_check", "owner_user_id_fkey", "owner_user_id_workspace_id_fkey"):
        validate("notification_channels", f"notification_channels_{constraint}")
    build_index("notification_channels_owner_idx", "notification_channels (owner_user_id, workspace_id)")
