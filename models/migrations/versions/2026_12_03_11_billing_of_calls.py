"""Model calls have a billing mode, by tokens or at a flat rate, and the quota that a program reported."""

from models.migrations.revisions import execute

revision = "2026_12_03_11"
down_revision = "2026_12_03_71"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE model_calls
            ADD billing_mode text NOT NULL DEFAULT 'metered',
            ADD subscription_plan varchar(200),
            ADD quota_remaining_pct double precision,
            ADD quota_window varchar(200),
            ADD rate_limited boolean NOT NULL DEFAULT false,
            ADD CONSTRAINT model_calls_billing_mode_check
                CHECK (billing_mode IN ('metered', 'flat_rate')) NOT VALID;
    """)
