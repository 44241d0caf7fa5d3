"""What people think of answers."""

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE message_feedback (
        id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        user_id text REFERENCES users ON DELETE SET NULL,
        message_id varchar(256) NOT NULL,
        signal text NOT NULL
            CHECK (signal IN ('helpful', 'not_helpful', 'inaccurate', 'unsafe', 'edit', 'regenerate')),
        chat_id text,
        trace_id varchar(256),
        reason varchar(4096),
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (user_id, message_id, signal),
        FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX message_feedback_chat_id_idx ON message_feedback (workspace_id, chat_id)",
    "CREATE INDEX message_feedback_trace_id_idx ON message_feedback (user_id, trace_id, created_at)"
    " WHERE trace_id IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
