"""data keys"""

from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    CREATE TABLE data_keys (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        workspace_id text REFERENCES workspaces (id) ON DELETE CASCADE,
        wrapped_by varchar(200) NOT NULL,
        wrapped bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        retired_at timestamptz,
        CONSTRAINT data_keys_size_check CHECK (octet_length(wrapped) <= 600)
    )
    """)
    op.execute(
        "CREATE UNIQUE INDEX data_keys_workspace_id_key ON data_keys (workspace_id)"
        " NULLS NOT DISTINCT WHERE retired_at IS NULL"
    )
