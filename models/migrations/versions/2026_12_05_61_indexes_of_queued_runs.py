"""Indexes of queued runs, batches and failures of one kind."""

from models.migrations.revisions import build_index

revision = "2026_12_05_61"
down_revision = "2026_12_05_60"
branch_labels = None
depends_on = None


def upgrade() -> None:
    build_index("routine_runs_queued_idx", "routine_runs (workspace_id, fire_at, id) WHERE status = 'queued'")
    build_index(
        "routine_runs_queued_key_idx",
        "routine_runs (workspace_id, concurrency_key, priority DESC, fire_at, id)"
        " WHERE status = 'queued' AND concurrency_key IS NOT NULL",
    )
    build_index(
        "routine_runs_debounce_idx",
        "routine_runs (workspace_id, routine_id, debounce_key) WHERE status = 'queued' AND debounce_key IS NOT NULL",
    )
    build_index(
        "routine_runs_batch_id_idx", "routine_runs (workspace_id, batch_id, fire_at, id) WHERE batch_id IS NOT NULL"
    )
    build_index(
        "routine_runs_fingerprint_idx",
        "routine_runs (workspace_id, error_fingerprint, started_at, id) WHERE error_fingerprint IS NOT NULL",
    )
