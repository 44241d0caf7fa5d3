"""Rows that every change writes have no checks, which PostgreSQL would parse with each: the service holds them to what
their columns declare.
"""

from models.migrations.revisions import execute

revision = "2026_12_01_6"
down_revision = "2026_12_01_5"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_size_check, DROP CONSTRAINT audit_logs_actor_type_check;
        ALTER TABLE events DROP CONSTRAINT events_size_check;
    """)
