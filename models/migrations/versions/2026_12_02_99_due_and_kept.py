"""The constraints of ended escalations and of retention hold for all rows; indexes have the escalations that wait by
their last day, and the timelines of a workspace by their time.
"""

from models.migrations.revisions import build_index, validate

revision = "2026_12_02_99"
down_revision = "2026_12_02_98"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for constraint in ("status", "resolved", "kept"):
        validate("escalations", f"escalations_{constraint}_check")
    validate("retention_rules", "retention_rules_kind_check")
    build_index("escalations_due_idx", "escalations (answer_deadline_at) WHERE status = 'PENDING'")
    build_index("credential_events_kept_idx", "credential_events (workspace_id, occurred_at, id)")
