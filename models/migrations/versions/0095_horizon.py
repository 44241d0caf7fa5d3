"""The horizon of a database: other databases of the cluster no longer hold up its events."""

from alembic import op

revision = "0095"
down_revision = "0094"
branch_labels = None
depends_on = None

# A process that was not restarted on a copy would follow events by numbers of another cluster.
# A snapshot lists what runs in the whole cluster, and leaves out the transaction that asks. What has no known database
# counts as ours.
HORIZON = """
CREATE FUNCTION events_horizon() RETURNS xid8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    seen pg_snapshot := pg_current_snapshot();
    own oid;
    held xid8;
BEGIN
    IF EXISTS (
        SELECT FROM instance_facts, pg_control_system() control
        WHERE name = 'cluster' AND value <> control.system_identifier::text
    ) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'this database is a copy from another PostgreSQL cluster: restart every Crewship process on it';
    END IF;
    IF pg_snapshot_xmin(seen) = pg_snapshot_xmax(seen) THEN
        RETURN pg_snapshot_xmax(seen);
    END IF;
    SELECT oid INTO own FROM pg_database WHERE datname = current_database();
    SELECT min(running) INTO held FROM pg_snapshot_xip(seen) running
    WHERE NOT EXISTS (
        SELECT FROM pg_stat_get_activity(NULL) other
        WHERE other.backend_xid = running::xid AND other.datid <> 0 AND other.datid <> own
    ) AND NOT EXISTS (
        SELECT FROM pg_prepared_xact() other WHERE other.transaction = running::xid AND other.dbid <> own
    );
    RETURN least(held, pg_current_xact_id_if_assigned(), pg_snapshot_xmax(seen));
END
$$
"""
AS_SEEN = """
CREATE OR REPLACE FUNCTION journal_as_seen(place text, asked jsonb, behind text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    parts record;
    wanted text;
BEGIN
    IF behind !~ '^[0-9]{19}' THEN
        RETURN;
    END IF;
    SELECT * INTO parts FROM journal_where(place, asked);
    wanted := format('%s%s AND (xid, id) > (%s, %L) AND xid < %s ORDER BY xid, id LIMIT %s',
        parts.held, parts.filtered, coalesce(left(behind, 19)::bigint, 0), coalesce(substr(behind, 20), ''),
        events_horizon(), most);
    RETURN QUERY EXECUTE format('(SELECT * FROM journal WHERE %s) UNION ALL (SELECT * FROM %s WHERE %s) ORDER BY xid, id LIMIT %s',
        wanted, journal_pending(place), wanted, most);
END
$$
"""
NEWS = """
CREATE OR REPLACE FUNCTION journal_news(since bigint, asked text[], OUT horizon bigint, OUT places text[]) LANGUAGE sql STABLE AS $$
    SELECT events_horizon()::text::bigint, array_agg(p) FROM unnest(asked) p
    WHERE EXISTS (SELECT FROM journal WHERE place = p AND xid >= since)
        OR EXISTS (SELECT FROM audit_logs WHERE workspace_id = p AND seq > (
            SELECT coalesce((SELECT value::bigint FROM instance_facts WHERE name = 'audit_sealed'), 0)
        ) AND xid >= since::text::xid8)
$$
"""


def upgrade() -> None:
    for statement in (HORIZON, AS_SEEN, NEWS):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
