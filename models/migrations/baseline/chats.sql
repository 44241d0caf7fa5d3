-- Conversations.

-- The id is a cuid, or any id the client chose: unique in its workspace, and another one may have the same.
CREATE TABLE chats (
    id varchar(200) NOT NULL,
    workspace_id text NOT NULL,
    agent_id text NOT NULL,
    created_by text,
    title varchar(200),
    mode text NOT NULL CHECK (mode IN ('CHAT', 'MISSION')),
    status text NOT NULL CHECK (status IN ('ACTIVE')),
    origin text CHECK (origin IN ('UI', 'CLI', 'WEBHOOK', 'CRON', 'AGENT')),
    visibility text NOT NULL CHECK (visibility IN ('private', 'group')),
    message_count integer NOT NULL,
    last_activity_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    last_seq integer NOT NULL,
    last_message_seq integer NOT NULL,
    PRIMARY KEY (id, workspace_id),
    UNIQUE (workspace_id, id),
    FOREIGN KEY (created_by) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id)
);
ALTER TABLE chats ALTER COLUMN origin SET (n_distinct = 5);
CREATE INDEX chats_workspace_id_agent_id_last_activity_at_idx ON chats (workspace_id, agent_id, last_activity_at);
CREATE INDEX chats_workspace_id_updated_at_idx ON chats (workspace_id, updated_at);
CREATE INDEX chats_origin_list_idx ON chats (workspace_id, origin, updated_at) WHERE origin IS NOT NULL;

-- Who takes part in a group chat, for as long as they are members of the workspace.
CREATE TABLE chat_participants (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    chat_id text NOT NULL,
    user_id text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'member')),
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (workspace_id, chat_id, user_id),
    FOREIGN KEY (user_id, workspace_id) REFERENCES memberships (user_id, workspace_id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX chat_participants_user_id_idx ON chat_participants (user_id, workspace_id);

-- That a process has a user on the line who listens to a chat. It counts up to `until`, which the process moves on
-- while that is so.
CREATE UNLOGGED TABLE chat_presence (
    chat_id varchar(200) NOT NULL,
    user_id varchar(200) NOT NULL,
    process varchar(200) NOT NULL,
    until timestamptz NOT NULL,
    workspace_id varchar(200) NOT NULL,
    PRIMARY KEY (workspace_id, chat_id, user_id, process)
);
CREATE INDEX chat_presence_until_idx ON chat_presence (until);

-- How far a user has read a chat: the number of the last message, and when that was.
CREATE TABLE chat_read_cursors (
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    chat_id text NOT NULL,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    last_read_at timestamptz NOT NULL DEFAULT now(),
    last_read_seq integer NOT NULL,
    PRIMARY KEY (user_id, workspace_id, chat_id),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE
);

-- One turn of a chat; `seq` numbers them. `parts` of assistant and system turns: what the agent said, thought and
-- called, in order.
CREATE TABLE messages (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    chat_id text NOT NULL,
    agent_id text,
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
    content varchar(1000000) NOT NULL,
    parts jsonb,
    tool_name varchar(200),
    tool_summary varchar(10000),
    data jsonb,
    author_user_id text,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seq integer NOT NULL,
    UNIQUE (workspace_id, chat_id, seq),
    UNIQUE (workspace_id, id),
    CONSTRAINT messages_size_check CHECK (pg_column_size(parts) <= 8388608 AND pg_column_size(data) <= 262144),
    FOREIGN KEY (author_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE
);

-- What somebody answers a message with, in place of words.
CREATE TABLE message_reactions (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    chat_id text NOT NULL,
    message_id varchar(200) NOT NULL,
    emoji varchar(8) NOT NULL,
    user_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT message_reactions_of_user_key UNIQUE (workspace_id, chat_id, message_id, emoji, user_id),
    FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX message_reactions_user_id_idx ON message_reactions (user_id);

-- One of a signal for each message and person. Nothing says that there is a message of the id.
CREATE TABLE message_feedback (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    user_id text REFERENCES users ON DELETE SET NULL,
    message_id varchar(256) NOT NULL,
    signal text NOT NULL CHECK (signal IN ('helpful', 'not_helpful', 'inaccurate', 'unsafe', 'edit', 'regenerate')),
    chat_id text,
    trace_id varchar(256),
    reason varchar(4096),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, message_id, signal),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE
);
CREATE INDEX message_feedback_chat_id_idx ON message_feedback (workspace_id, chat_id);
CREATE INDEX message_feedback_trace_id_idx ON message_feedback (user_id, trace_id, created_at)
    WHERE trace_id IS NOT NULL;

-- A file that was sent with a chat, in: `<crew_id>/output/<folder>/attachments/<chat_id>/`.
CREATE TABLE chat_attachments (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    chat_id text NOT NULL,
    crew_id text NOT NULL,
    folder varchar(400) NOT NULL,
    name varchar(255) NOT NULL,
    size bigint NOT NULL,
    media_type varchar(200),
    uploaded_by text,
    CONSTRAINT chat_attachments_of_place_key UNIQUE (workspace_id, chat_id, crew_id, folder, name),
    FOREIGN KEY (uploaded_by) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX chat_attachments_list_idx ON chat_attachments (workspace_id, chat_id, created_at, id);
CREATE INDEX chat_attachments_uploaded_by_idx ON chat_attachments (uploaded_by, workspace_id);
CREATE INDEX chat_attachments_workspace_id_crew_id_idx ON chat_attachments (workspace_id, crew_id);

-- What the attachments of a workspace take, without those that are deleted: triggers of their table change it.
CREATE TABLE attachment_totals (
    workspace_id text PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
    bytes bigint NOT NULL
);
