-- The outbox.

-- Returns the lowest transaction number of this database that may still commit: events below it are final. Other
-- databases of the cluster do not hold it up. Raises object_not_in_prerequisite_state on a copy from another cluster,
-- because a process that was not restarted there would follow events by the numbers of the old one.
CREATE OR REPLACE FUNCTION events_horizon() RETURNS xid8
LANGUAGE plpgsql STABLE AS $$
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
    -- A snapshot lists the transactions of the whole cluster, and leaves out the one that asks. A transaction whose
    -- database is unknown counts as one of ours.
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
$$;
