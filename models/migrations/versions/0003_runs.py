"""Messages of chats, and runs of agents with their frames and steps."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE chats ADD COLUMN last_seq integer NOT NULL DEFAULT 0",
    "ALTER TABLE chats ALTER COLUMN last_seq DROP DEFAULT",
    """
    CREATE TABLE messages (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        chat_id text NOT NULL,
        agent_id text,
        role text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
        content text NOT NULL,
        parts jsonb,
        tool_name text,
        tool_summary text,
        data jsonb,
        author_user_id text REFERENCES users ON DELETE SET NULL,
        created_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id)
    )
    """,
    "CREATE INDEX messages_chat_id_created_at_id_idx ON messages (chat_id, created_at, id)",
    """
    CREATE TABLE chat_read_cursors (
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        chat_id text NOT NULL,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        last_read_at timestamptz NOT NULL,
        PRIMARY KEY (user_id, chat_id),
        FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE runs (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        agent_id text NOT NULL,
        chat_id text,
        triggered_by text,
        trigger_type text NOT NULL,
        status text NOT NULL CHECK (status IN ('RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')),
        prompt text NOT NULL,
        max_turns integer,
        model text,
        exit_code integer,
        error_message text,
        data jsonb,
        started_at timestamptz,
        finished_at timestamptz,
        created_at timestamptz NOT NULL,
        worker text,
        lease integer NOT NULL,
        leased_until timestamptz,
        cancel_requested_at timestamptz,
        frames integer NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id)
    )
    """,
    "CREATE UNIQUE INDEX runs_chat_id_running_key ON runs (chat_id) WHERE status = 'RUNNING'",
    "CREATE INDEX runs_list_idx ON runs (workspace_id, COALESCE(started_at, created_at) DESC, id DESC)",
    "CREATE INDEX runs_agent_id_list_idx ON runs (agent_id, COALESCE(started_at, created_at) DESC, id DESC)",
    "CREATE INDEX runs_gone_wrong_idx ON runs (workspace_id, finished_at) WHERE status IN ('FAILED', 'TIMEOUT')",
    "CREATE INDEX runs_chat_id_created_at_idx ON runs (chat_id, created_at)",
    "CREATE INDEX runs_unfinished_idx ON runs (leased_until, created_at) WHERE status = 'RUNNING'",
    """
    CREATE TABLE run_frames (
        chat_id text NOT NULL,
        seq integer NOT NULL,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        run_id text,
        type text NOT NULL,
        payload jsonb NOT NULL,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (chat_id, seq),
        FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX run_frames_run_id_seq_idx ON run_frames (run_id, seq)",
    "CREATE INDEX run_frames_created_at_idx ON run_frames USING brin (created_at)",
    """
    CREATE TABLE run_steps (
        run_id text NOT NULL,
        name text NOT NULL,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        lease integer NOT NULL,
        created_at timestamptz NOT NULL,
        finished_at timestamptz,
        outcome jsonb,
        PRIMARY KEY (run_id, name),
        FOREIGN KEY (workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
