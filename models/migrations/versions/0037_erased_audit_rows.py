"""Seals of the audit log outlive the data of persons that are erased in its rows."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

CHECK = (
    "GREATEST(pg_column_size(data), pg_column_size(changes)) <= 262144"
    " AND GREATEST(octet_length(erased), octet_length(erased_signature)) <= 200"
)


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE audit_logs
            ADD COLUMN salt varchar(200) DEFAULT gen_random_uuid()::text,
            ADD COLUMN erased bytea,
            ADD COLUMN erased_signature bytea
        """
    )
    op.execute("ALTER TABLE audit_logs DROP CONSTRAINT audit_logs_size_check")
    op.execute(f"ALTER TABLE audit_logs ADD CONSTRAINT audit_logs_size_check CHECK ({CHECK})")
