"""Lists of the audit log and of MCP tool calls: an index for each filter that may lead, and metadata as compact text."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

NEWEST = "created_at DESC, id DESC"
JSON_TEXT = """
    CREATE FUNCTION json_text(value jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    BEGIN
        CASE jsonb_typeof(value)
        WHEN 'object' THEN RETURN (
            SELECT '{' || coalesce(string_agg(to_json(key)::text || ':' || json_text(each.value), ',' ORDER BY key COLLATE "C"), '') || '}'
            FROM jsonb_each(value) AS each);
        WHEN 'array' THEN RETURN (
            SELECT '[' || coalesce(string_agg(json_text(element), ',' ORDER BY place), '') || ']'
            FROM jsonb_array_elements(value) WITH ORDINALITY AS each(element, place));
        ELSE RETURN value::text;
        END CASE;
    END $$
"""


def calls() -> None:
    op.execute(
        """
        CREATE TABLE mcp_tool_calls (
            id varchar(200) PRIMARY KEY,
            workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
            crew_id varchar(200),
            agent_id varchar(200) NOT NULL,
            mcp_server_id varchar(200) NOT NULL,
            mcp_server_scope text NOT NULL CHECK (mcp_server_scope IN ('workspace', 'crew', 'agent')),
            tool_name varchar(200) NOT NULL,
            status text NOT NULL CHECK (status IN ('success', 'error', 'denied', 'timeout')),
            duration_ms integer,
            error_message varchar(10000),
            created_at timestamptz NOT NULL DEFAULT now()
        )
        """
    )
    op.execute(f"CREATE INDEX mcp_tool_calls_list_idx ON mcp_tool_calls (workspace_id, {NEWEST})")
    for column in ("agent_id", "mcp_server_id", "status"):
        op.execute(f"CREATE INDEX mcp_tool_calls_{column}_list_idx ON mcp_tool_calls (workspace_id, {column}, {NEWEST})")


def upgrade() -> None:
    op.execute(
        'ALTER TABLE audit_logs ADD COLUMN entity_kind varchar(200) NOT NULL GENERATED ALWAYS AS (lower(entity_type COLLATE "C")) STORED'
    )
    op.execute("DROP INDEX audit_logs_workspace_id_created_at_idx")
    op.execute(f"CREATE INDEX audit_logs_list_idx ON audit_logs (workspace_id, {NEWEST})")
    for column in ("action", "entity_kind", "entity_id", "user_id"):
        op.execute(f"CREATE INDEX audit_logs_{column}_list_idx ON audit_logs (workspace_id, {column}, {NEWEST})")
    calls()
    op.execute(JSON_TEXT)
