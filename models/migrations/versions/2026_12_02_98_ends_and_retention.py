"""Escalations have deadlines, and end without an answer, too; a workspace chooses how long ended runs and timelines of
credentials are kept, and allows privileged containers.
"""

from models.migrations.revisions import execute

revision = "2026_12_02_98"
down_revision = "2026_12_02_97"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE escalations
            ADD deadline_at timestamptz,
            ADD answer_deadline_at timestamptz,
            ADD agent_gave_up_at timestamptz,
            DROP CONSTRAINT escalations_status_check,
            DROP CONSTRAINT escalations_resolved_check,
            DROP CONSTRAINT escalations_kept_check,
            ADD CONSTRAINT escalations_status_check
                CHECK (status IN ('PENDING', 'RESOLVED', 'EXPIRED', 'CANCELLED')) NOT VALID,
            ADD CONSTRAINT escalations_resolved_check
                CHECK ((status IN ('RESOLVED', 'EXPIRED', 'CANCELLED')) = (resolved_at IS NOT NULL)) NOT VALID,
            ADD CONSTRAINT escalations_kept_check
                CHECK (type <> 'CREDENTIAL' OR status <> 'RESOLVED' OR resolution IS NULL) NOT VALID;
        ALTER TABLE workspaces ADD allow_privileged_credentials boolean NOT NULL DEFAULT false;
        ALTER TABLE retention_rules
            DROP CONSTRAINT retention_rules_kind_check,
            ADD CONSTRAINT retention_rules_kind_check CHECK (kind IN ('events', 'frames', 'journal', 'mcp_calls',
                'memory_versions', 'idempotency_keys', 'audit', 'runs', 'credential_events')) NOT VALID;
    """)
