"""Times are PostgreSQL's, chats are ordered by numbers and named within their workspace, and lists of runs and logs have their indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

STORED = """
    users.created_at users.updated_at sessions.created_at sessions.last_used_at cli_tokens.created_at admin_token_uses.used_at
    workspaces.created_at workspaces.updated_at memberships.created_at memberships.updated_at invitations.created_at
    crews.created_at crews.updated_at crew_members.created_at crew_connections.created_at crew_connections.updated_at
    crew_integrations.created_at crew_integrations.updated_at tool_bindings.created_at tool_bindings.updated_at
    labels.created_at labels.updated_at agents.created_at agents.updated_at agent_credentials.created_at agent_skills.created_at
    missions.created_at missions.updated_at assignments.created_at assignments.updated_at mission_tasks.created_at mission_tasks.updated_at
    chats.created_at chats.updated_at chats.last_activity_at chats.started_at chat_read_cursors.last_read_at
    runs.created_at run_steps.created_at inbox_items.created_at inbox_items.updated_at audit_logs.created_at instance_facts.created_at
"""
STORED_IN_ORDER = "messages.created_at run_frames.created_at"

NUMBERED_MESSAGES = (
    "ALTER TABLE messages ADD COLUMN seq integer",
    """
    UPDATE messages SET seq = counted.number FROM (
        SELECT id, row_number() OVER (PARTITION BY workspace_id, chat_id ORDER BY created_at, id) AS number FROM messages
    ) AS counted WHERE counted.id = messages.id
    """,
    "ALTER TABLE messages ALTER COLUMN seq SET NOT NULL",
    "ALTER TABLE messages ADD CONSTRAINT messages_workspace_id_chat_id_seq_key UNIQUE (workspace_id, chat_id, seq)",
    "ALTER TABLE chats ADD COLUMN last_message_seq integer NOT NULL DEFAULT 0",
    "ALTER TABLE chats ALTER COLUMN last_message_seq DROP DEFAULT",
    """
    UPDATE chats SET last_message_seq = newest.seq FROM (
        SELECT workspace_id, chat_id, max(seq) AS seq FROM messages GROUP BY workspace_id, chat_id
    ) AS newest WHERE newest.workspace_id = chats.workspace_id AND newest.chat_id = chats.id
    """,
    "ALTER TABLE chat_read_cursors ADD COLUMN last_read_seq integer NOT NULL DEFAULT 0",
    "ALTER TABLE chat_read_cursors ALTER COLUMN last_read_seq DROP DEFAULT",
    """
    UPDATE chat_read_cursors AS mark SET last_read_seq = (
        SELECT coalesce(max(seq), 0) FROM messages
        WHERE messages.workspace_id = mark.workspace_id AND messages.chat_id = mark.chat_id AND messages.created_at <= mark.last_read_at
    )
    """,
    "ALTER TABLE runs ADD COLUMN message_seq integer",
    """
    UPDATE runs SET message_seq = (
        SELECT max(seq) FROM messages
        WHERE messages.workspace_id = runs.workspace_id AND messages.chat_id = runs.chat_id AND role = 'user' AND messages.created_at <= runs.created_at
    ) WHERE status = 'RUNNING' AND chat_id IS NOT NULL
    """,
    "DROP INDEX messages_chat_id_created_at_id_idx",
)

NAMED_WITHIN_WORKSPACES = (
    "ALTER TABLE chats DROP CONSTRAINT chats_pkey",
    "ALTER TABLE chats ADD CONSTRAINT chats_pkey PRIMARY KEY (id, workspace_id)",
    "ALTER TABLE chat_read_cursors DROP CONSTRAINT chat_read_cursors_pkey",
    "ALTER TABLE chat_read_cursors ADD CONSTRAINT chat_read_cursors_pkey PRIMARY KEY (user_id, workspace_id, chat_id)",
    "ALTER TABLE run_frames DROP CONSTRAINT run_frames_pkey",
    "ALTER TABLE run_frames ADD CONSTRAINT run_frames_pkey PRIMARY KEY (workspace_id, chat_id, seq)",
    "DELETE FROM chat_presence",  # of processes that have ended, or will tell it again
    "ALTER TABLE chat_presence ADD COLUMN workspace_id text NOT NULL",
    "ALTER TABLE chat_presence DROP CONSTRAINT chat_presence_pkey",
    "ALTER TABLE chat_presence ADD CONSTRAINT chat_presence_pkey PRIMARY KEY (workspace_id, chat_id, user_id, process)",
    "ALTER TABLE inbox_items DROP CONSTRAINT inbox_items_pkey",
    "ALTER TABLE inbox_items ADD CONSTRAINT inbox_items_pkey PRIMARY KEY (id, workspace_id)",
    "ALTER TABLE inbox_items DROP CONSTRAINT inbox_items_kind_source_id_key",
    "ALTER TABLE inbox_items ADD CONSTRAINT inbox_items_workspace_id_kind_source_id_key UNIQUE (workspace_id, kind, source_id)",
    "UPDATE events SET channel = 'session:' || workspace_id || '/' || substr(channel, 9) WHERE channel LIKE 'session:%'",
)

LISTED = (
    "DROP INDEX runs_list_idx",
    "DROP INDEX runs_agent_id_list_idx",
    "DROP INDEX runs_chat_id_created_at_idx",
    "DROP INDEX runs_chat_id_running_key",
    "ALTER TABLE runs ADD COLUMN began_at timestamptz NOT NULL GENERATED ALWAYS AS (COALESCE(started_at, created_at)) STORED",
    "CREATE INDEX runs_list_idx ON runs (workspace_id, began_at DESC, id DESC)",
    "CREATE INDEX runs_status_list_idx ON runs (workspace_id, status, began_at DESC, id DESC)",
    "CREATE INDEX runs_trigger_type_list_idx ON runs (workspace_id, trigger_type, began_at DESC, id DESC)",
    "CREATE INDEX runs_agent_id_list_idx ON runs (agent_id, began_at DESC, id DESC)",
    "CREATE INDEX runs_chat_id_list_idx ON runs (workspace_id, chat_id, began_at DESC, id DESC)",
    "CREATE UNIQUE INDEX runs_chat_id_running_key ON runs (workspace_id, chat_id) WHERE status = 'RUNNING'",
    "DROP INDEX agents_list_idx",
    "ALTER TABLE agents ADD COLUMN listed_at timestamptz NOT NULL GENERATED ALWAYS AS (COALESCE(expired_at, created_at)) STORED",
    "CREATE INDEX agents_list_idx ON agents (workspace_id, (expired_at IS NOT NULL), listed_at DESC, id DESC) WHERE deleted_at IS NULL",
    "CREATE INDEX crews_deleted_slug_idx ON crews (workspace_id, slug text_pattern_ops) WHERE deleted_at IS NOT NULL",
)

TAGGED = (
    """
    CREATE TABLE run_tags (
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        tag text NOT NULL,
        run_id text NOT NULL,
        PRIMARY KEY (workspace_id, tag, run_id),
        CONSTRAINT run_tags_size_check CHECK (GREATEST(octet_length(tag), octet_length(run_id)) <= 800)
    )
    """,
    """
    CREATE FUNCTION run_tags_of(data jsonb) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
        SELECT DISTINCT value #>> '{}'
        FROM jsonb_array_elements(
            CASE jsonb_typeof(data -> 'tags') WHEN 'array' THEN data -> 'tags' WHEN 'string' THEN jsonb_build_array(data -> 'tags') ELSE '[]' END
        )
        WHERE jsonb_typeof(value) = 'string' AND char_length(value #>> '{}') <= 200
    $$
    """,
    """
    CREATE FUNCTION keep_run_tags() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            DELETE FROM run_tags WHERE workspace_id = OLD.workspace_id AND run_id = OLD.id AND tag IN (SELECT run_tags_of(OLD.data));
        END IF;
        INSERT INTO run_tags (workspace_id, tag, run_id) SELECT NEW.workspace_id, tag, NEW.id FROM run_tags_of(NEW.data) AS tag;
        RETURN NULL;
    END
    $$
    """,
    "CREATE TRIGGER run_tags_of_new AFTER INSERT ON runs FOR EACH ROW WHEN (NEW.data ? 'tags') EXECUTE FUNCTION keep_run_tags()",
    """
    CREATE TRIGGER run_tags_of_changed AFTER UPDATE OF data ON runs FOR EACH ROW
    WHEN (OLD.data -> 'tags' IS DISTINCT FROM NEW.data -> 'tags') EXECUTE FUNCTION keep_run_tags()
    """,
    "INSERT INTO run_tags (workspace_id, tag, run_id) SELECT workspace_id, tag, id FROM runs, run_tags_of(data) AS tag",
)

LOGGED = (
    "ALTER TABLE run_frames ADD COLUMN agent_id text",
    """
    UPDATE run_frames SET agent_id = runs.agent_id FROM runs
    WHERE runs.workspace_id = run_frames.workspace_id AND runs.id = run_frames.run_id AND run_frames.type = 'chat_event'
        AND payload ->> 'type' IN ('status', 'text', 'thinking', 'tool_call', 'tool_result', 'image', 'system', 'result', 'error')
    """,
    "CREATE INDEX run_frames_log_idx ON run_frames (workspace_id, agent_id, created_at, chat_id, seq) WHERE agent_id IS NOT NULL",
)


# Rows that are longer than new ones may be stay as they are: the checks are away while columns of theirs are filled.
SIZES = """
    SELECT conrelid::regclass::text AS name, conname AS check, pg_get_constraintdef(oid) AS definition, convalidated AS holds FROM pg_constraint
    WHERE conname IN (
        'chats_size_check', 'messages_size_check', 'chat_read_cursors_size_check', 'runs_size_check', 'run_frames_size_check', 'events_size_check',
        'chat_presence_size_check'
    )
"""
WIDER = {
    "run_frames": "CHECK (GREATEST(octet_length(agent_id), octet_length(type)) <= 800 AND pg_column_size(payload) <= 8388608)",
    "chat_presence": """
        CHECK (GREATEST(octet_length(workspace_id), octet_length(chat_id), octet_length(user_id), octet_length(process)) <= 800)
    """,
}


def upgrade() -> None:
    sizes = op.get_bind().execute(sa.text(SIZES)).all()
    for size in sizes:
        op.execute(f"ALTER TABLE {size.name} DROP CONSTRAINT {size.check}")
    for columns, clock in ((STORED, "now()"), (STORED_IN_ORDER, "clock_timestamp()")):
        for name in columns.split():
            table, column = name.split(".")
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {clock}")
    for statement in (*NUMBERED_MESSAGES, *NAMED_WITHIN_WORKSPACES, *LISTED, *TAGGED, *LOGGED):
        op.execute(statement)
    for size in sizes:
        wider = WIDER.get(size.name)
        definition = size.definition if wider is None else wider if size.holds else f"{wider} NOT VALID"
        op.execute(f"ALTER TABLE {size.name} ADD CONSTRAINT {size.check} {definition}")
