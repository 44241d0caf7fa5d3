"""The constraints of triggers hold for all rows, and indexes find the runs of a schedule and of a webhook."""

from models.migrations.revisions import build_index, validate

revision = "2026_12_05_41"
down_revision = "2026_12_05_40"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate("inbox_items", "inbox_items_kind_check")
    validate("routine_runs", "routine_runs_workspace_id_schedule_id_fkey")
    validate("routine_runs", "routine_runs_workspace_id_webhook_id_fkey")
    validate("routine_runs", "routine_runs_size_check")
    build_index(
        "routine_runs_schedule_id_idx",
        "routine_runs (workspace_id, schedule_id, started_at, id) WHERE schedule_id IS NOT NULL",
    )
    build_index(
        "routine_runs_webhook_id_idx",
        "routine_runs (workspace_id, webhook_id, started_at, id) WHERE webhook_id IS NOT NULL",
    )
