"""Assignments name credentials that are there: those of none go."""

from alembic import op

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    DELETE FROM agent_credentials AS given
    WHERE NOT EXISTS (
        SELECT FROM credentials WHERE credentials.workspace_id = given.workspace_id AND credentials.id = given.credential_id
    )
    """,
    """
    ALTER TABLE agent_credentials
        ALTER COLUMN credential_id TYPE text,
        ADD CONSTRAINT agent_credentials_workspace_id_credential_id_fkey
            FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.get_bind().exec_driver_sql(statement)

