"""A row of the audit log says what its action does: rows that are not sealed yet have no line in the journal."""

from models.migrations.revisions import execute

revision = "2026_12_01_2"
down_revision = "2026_12_01_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE audit_logs ADD effect varchar(200);
        UPDATE audit_logs SET effect = CASE
            WHEN action ~* '(delete|remove|revoke)' THEN 'deleted'
            WHEN action ~* '(restore|unlock)' THEN 'restored'
            WHEN action ~* '(create|invite)' THEN 'created'
            ELSE 'updated'
        END
        WHERE seq > coalesce((SELECT value::bigint FROM instance_facts WHERE name = 'audit_sealed'), 0);
    """)
