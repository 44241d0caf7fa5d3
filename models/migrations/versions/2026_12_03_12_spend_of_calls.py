"""All billing modes are valid; one index has the calls that cost something, another the calls at a flat rate."""

from models.migrations.revisions import build_index, validate

revision = "2026_12_03_12"
down_revision = "2026_12_03_11"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate("model_calls", "model_calls_billing_mode_check")
    build_index(
        "model_calls_paid_idx",
        "model_calls (workspace_id, created_at) INCLUDE (crew_id, agent_id, cost_micros) WHERE cost_micros > 0",
    )
    build_index(
        "model_calls_flat_idx",
        "model_calls (workspace_id, created_at) INCLUDE (provider, subscription_plan, input_tokens, output_tokens)"
        " WHERE billing_mode = 'flat_rate'",
    )
