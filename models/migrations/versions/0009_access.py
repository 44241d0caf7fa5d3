"""Changes of what somebody may are events of the outbox, written by whatever makes the change."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE INDEX events_access_idx ON events (xid, seq) WHERE type = 'access.changed'",
    # The argument names the column that holds the user's id.
    """
    CREATE FUNCTION tell_access() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO events (channel, type, payload) VALUES ('access:' || (to_jsonb(OLD) ->> TG_ARGV[0]), 'access.changed', '{}');
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION tell_access_of_members() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO events (channel, type, payload)
        SELECT 'access:' || user_id, 'access.changed', '{}' FROM memberships WHERE workspace_id = OLD.id;
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER access AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION tell_access('id')",
    "CREATE TRIGGER access AFTER DELETE OR UPDATE OF role, capabilities, user_id, workspace_id ON memberships"
    " FOR EACH ROW EXECUTE FUNCTION tell_access('user_id')",
    "CREATE TRIGGER access AFTER UPDATE OF deleted_at ON workspaces"
    " FOR EACH ROW WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at) EXECUTE FUNCTION tell_access_of_members()",
    *(
        statement
        for table in ("sessions", "cli_tokens")
        for statement in (
            f"CREATE TRIGGER access AFTER UPDATE OF revoked_at ON {table}"
            " FOR EACH ROW WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at) EXECUTE FUNCTION tell_access('user_id')",
            # What has ended before it is removed tells nothing.
            f"CREATE TRIGGER access_removed AFTER DELETE ON {table} FOR EACH ROW"
            " WHEN (OLD.revoked_at IS NULL AND (OLD.expires_at IS NULL OR OLD.expires_at > now())) EXECUTE FUNCTION tell_access('user_id')",
        )
    ),
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
