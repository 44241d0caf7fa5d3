"""Lists of any length cost their page: agents in one direction, chats by origin, and the tags of runs in the order of the list."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STATEMENTS = (
    "DROP INDEX agents_list_idx",
    "CREATE INDEX agents_list_idx ON agents (workspace_id, (expired_at IS NULL) DESC, listed_at DESC, id DESC) WHERE deleted_at IS NULL",
    "CREATE INDEX chats_origin_list_idx ON chats (workspace_id, origin, updated_at) WHERE origin IS NOT NULL",
    # A sample that holds one value alone makes a filter look worthless, and the list is walked from end to end for the others.
    "ALTER TABLE runs ALTER COLUMN status SET (n_distinct = 5), ALTER COLUMN trigger_type SET (n_distinct = 5)",
    "ALTER TABLE chats ALTER COLUMN origin SET (n_distinct = 5)",
    "DROP INDEX runs_agent_id_list_idx",
    "CREATE INDEX runs_agent_id_list_idx ON runs (workspace_id, agent_id, began_at DESC, id DESC)",
    "DROP TRIGGER run_tags_of_new ON runs",
    "DROP TRIGGER run_tags_of_changed ON runs",
    "ALTER TABLE run_tags ADD COLUMN began_at timestamptz",
    "UPDATE run_tags SET began_at = runs.began_at FROM runs WHERE runs.workspace_id = run_tags.workspace_id AND runs.id = run_tags.run_id",
    "ALTER TABLE run_tags ALTER COLUMN began_at SET NOT NULL",
    "ALTER TABLE run_tags DROP CONSTRAINT run_tags_pkey",
    "ALTER TABLE run_tags ADD CONSTRAINT run_tags_pkey PRIMARY KEY (workspace_id, tag, began_at, run_id)",
    """
    CREATE OR REPLACE FUNCTION keep_run_tags() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            DELETE FROM run_tags
            WHERE workspace_id = OLD.workspace_id AND tag IN (SELECT run_tags_of(OLD.data)) AND began_at = OLD.began_at AND run_id = OLD.id;
        END IF;
        INSERT INTO run_tags (workspace_id, tag, began_at, run_id) SELECT NEW.workspace_id, tag, NEW.began_at, NEW.id FROM run_tags_of(NEW.data) AS tag;
        RETURN NULL;
    END
    $$
    """,
    "CREATE TRIGGER run_tags_of_new AFTER INSERT ON runs FOR EACH ROW WHEN (NEW.data ? 'tags') EXECUTE FUNCTION keep_run_tags()",
    """
    CREATE TRIGGER run_tags_of_changed AFTER UPDATE OF data, started_at ON runs FOR EACH ROW
    WHEN (
        OLD.data -> 'tags' IS DISTINCT FROM NEW.data -> 'tags'
        OR NEW.data ? 'tags' AND COALESCE(OLD.started_at, OLD.created_at) <> COALESCE(NEW.started_at, NEW.created_at)
    ) EXECUTE FUNCTION keep_run_tags()
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
