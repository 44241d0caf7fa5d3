-- Statistics of tables that have changed, which the service may gather though it owns no table.

-- Analyzes one table that has changed much since it was last analyzed, the smallest change first, so that a table that
-- takes too long keeps no other waiting, and returns its name; NULL where there is none, or where another process is at
-- it.
CREATE OR REPLACE FUNCTION analyze_what_changed() RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changed text;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('analyze_what_changed', 0)) THEN
        RETURN NULL;
    END IF;
    SELECT format('%I.%I', n.nspname, c.relname) INTO changed
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN (current_schema(), 'dbos') AND c.relkind = 'r'
        AND pg_get_userbyid(c.relowner) = current_user
        AND pg_stat_get_mod_since_analyze(c.oid) > greatest(c.reltuples, 20)
        -- autovacuum or an index that is built has it
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_locks l
            JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database()
            WHERE l.relation = c.oid AND l.mode = 'ShareUpdateExclusiveLock' AND l.pid <> pg_backend_pid()
        )
    ORDER BY pg_stat_get_mod_since_analyze(c.oid) LIMIT 1;
    IF changed IS NOT NULL THEN
        EXECUTE 'ANALYZE (SKIP_LOCKED) ' || changed;
    END IF;
    RETURN changed;
END
$$;

REVOKE ALL ON FUNCTION analyze_what_changed() FROM PUBLIC;
