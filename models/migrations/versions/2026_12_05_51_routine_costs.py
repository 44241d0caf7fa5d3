"""Sizes of runs hold for all, and two indexes: what a routine has spent, and which runs a run has caused."""

from models.migrations.revisions import build_index, validate

revision = "2026_12_05_51"
down_revision = "2026_12_05_50"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate("routine_runs", "routine_runs_size_check")
    build_index(
        "routine_runs_cost_idx",
        "routine_runs (workspace_id, routine_id, started_at) INCLUDE (cost_usd) WHERE cost_usd > 0",
    )
    build_index(
        "routine_runs_triggered_by_id_idx",
        "routine_runs (workspace_id, triggered_by_id) WHERE triggered_by_id IS NOT NULL",
    )
