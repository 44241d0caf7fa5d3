"""The inbox, and who listens to which chat right now."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE inbox_items (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        kind text NOT NULL CHECK (kind IN ('waitpoint', 'escalation', 'failed_run', 'message', 'memory_consolidation')),
        source_id text NOT NULL,
        target_user_id text REFERENCES users ON DELETE CASCADE,
        target_role text CHECK (target_role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
        title text NOT NULL,
        body_md text,
        sender_type text CHECK (sender_type IN ('agent', 'crew', 'system', 'pipeline')),
        sender_id text,
        sender_name text,
        avatar_seed text,
        avatar_style text,
        state text NOT NULL CHECK (state IN ('unread', 'read', 'resolved')),
        priority text NOT NULL CHECK (priority IN ('urgent', 'high', 'medium', 'low')),
        blocking boolean NOT NULL,
        payload jsonb,
        read_at timestamptz,
        read_by_user_id text REFERENCES users ON DELETE SET NULL,
        resolved_at timestamptz,
        resolved_by_user_id text REFERENCES users ON DELETE SET NULL,
        resolved_action text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (kind, source_id)
    )
    """,
    "CREATE INDEX inbox_items_workspace_id_created_at_id_idx ON inbox_items (workspace_id, created_at, id)",
    "CREATE INDEX inbox_items_target_user_id_idx ON inbox_items (target_user_id)",
    """
    CREATE UNLOGGED TABLE chat_presence (
        chat_id text NOT NULL,
        user_id text NOT NULL,
        process text NOT NULL,
        until timestamptz NOT NULL,
        PRIMARY KEY (chat_id, user_id, process)
    )
    """,
    "CREATE INDEX chat_presence_until_idx ON chat_presence (until)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
