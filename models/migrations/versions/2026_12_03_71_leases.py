"""The constraints of leases and of timelines hold for all rows."""

from models.migrations.revisions import validate

revision = "2026_12_03_71"
down_revision = "2026_12_03_7"
branch_labels = None
depends_on = None


def upgrade() -> None:
    validate("agent_credentials", "agent_credentials_lease_source_check")
    validate("credential_events", "credential_events_event_type_check")
