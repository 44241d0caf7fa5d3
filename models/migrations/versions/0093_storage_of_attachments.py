"""storage of attachments"""

import sqlalchemy as sa
from alembic import op

revision = '0093'
down_revision = '0092'
branch_labels = None
depends_on = None

ADDED = """
CREATE FUNCTION attachments_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attachment_totals AS total (workspace_id, bytes)
        SELECT workspace_id, sum(size) FROM added WHERE deleted_at IS NULL GROUP BY workspace_id ORDER BY workspace_id
        ON CONFLICT (workspace_id) DO UPDATE SET bytes = total.bytes + excluded.bytes;
    RETURN NULL;
END
$$
"""
# Rows of a workspace that goes are removed along with its total.
CHANGED = """
CREATE FUNCTION attachments_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE attachment_totals total SET bytes = total.bytes + change.bytes FROM (
        SELECT workspace_id, sum(size) AS bytes FROM (
            SELECT workspace_id, size FROM added WHERE deleted_at IS NULL
            UNION ALL SELECT workspace_id, -size FROM removed WHERE deleted_at IS NULL
        ) each GROUP BY workspace_id
    ) change WHERE total.workspace_id = change.workspace_id AND change.bytes <> 0;
    RETURN NULL;
END
$$
"""
REMOVED = """
CREATE FUNCTION attachments_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE attachment_totals total SET bytes = total.bytes - gone.bytes FROM (
        SELECT workspace_id, sum(size) AS bytes FROM removed WHERE deleted_at IS NULL GROUP BY workspace_id
    ) gone WHERE total.workspace_id = gone.workspace_id;
    RETURN NULL;
END
$$
"""
TRIGGERS = (
    "CREATE TRIGGER attachments_added AFTER INSERT ON chat_attachments REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION attachments_added()",
    "CREATE TRIGGER attachments_changed AFTER UPDATE ON chat_attachments"
    " REFERENCING NEW TABLE AS added OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION attachments_changed()",
    "CREATE TRIGGER attachments_removed AFTER DELETE ON chat_attachments REFERENCING OLD TABLE AS removed"
    " FOR EACH STATEMENT EXECUTE FUNCTION attachments_removed()",
)
COUNTED = """
INSERT INTO attachment_totals (workspace_id, bytes)
    SELECT workspace_id, sum(size) FROM chat_attachments WHERE deleted_at IS NULL GROUP BY workspace_id
"""


def upgrade() -> None:
    op.create_table('attachment_totals',
    sa.Column('workspace_id', sa.Text(), nullable=False),
    sa.Column('bytes', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['workspace_id'], ['workspaces.id'], name=op.f('attachment_totals_workspace_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('workspace_id', name=op.f('attachment_totals_pkey'))
    )
    for statement in (ADDED, CHANGED, REMOVED, *TRIGGERS, COUNTED):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
