-- Tables in partitions by time. They belong to the owner of the tables, who alone may create and drop tables: the
-- service changes partitions through these functions only. The partition `<table>_later` holds rows of times that have
-- no partition of their own yet, and `<table>_earlier` rows of times whose partition was dropped.

-- Creates a table like `parent`, not attached to it. Autovacuum analyzes it after few changes.
CREATE OR REPLACE FUNCTION bare_partition(parent text, child text) RETURNS void
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    reader record;
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS'
        ' INCLUDING STORAGE) WITH (autovacuum_analyze_threshold = 20, autovacuum_analyze_scale_factor = 0.05)',
        child, parent);
    -- the policies of the table apply to reads through it; by a partition's own name the role reads no row
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
    FOR reader IN
        SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS name
        FROM pg_class c, aclexplode(c.relacl) a
        WHERE c.oid = to_regclass(quote_ident(child)) AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE %I FROM %s', child, reader.name);
    END LOOP;
END
$$;

-- Returns the columns of a table that are stored, and not generated, joined by commas.
CREATE OR REPLACE FUNCTION columns_stored(parent text) RETURNS text
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
    WHERE attrelid = to_regclass(quote_ident(parent)) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
$$;

-- Returns every partition of a table with the time before which its rows are; NULL for the last one.
CREATE OR REPLACE FUNCTION partition_ends(parent text) RETURNS TABLE (name text, until timestamptz)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
    SELECT c.relname::text,
        substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(quote_ident(parent))
$$;

-- Returns the partitions of a table that may be dropped when their time has expired.
CREATE OR REPLACE FUNCTION partitions_of(parent text) RETURNS TABLE (name text, until timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
    SELECT e.name, e.until FROM partition_ends(parent) e
    WHERE e.name NOT IN (parent || '_earlier', parent || '_later')
$$;

-- Creates the partitions that are missing until `ahead` spans from now ('day', 'week' or 'month'), moves rows there
-- from `<table>_later`, and returns how many it created. It gives up after 200 ms of waiting for a lock.
CREATE OR REPLACE FUNCTION keep_partitions(parent text, span text, ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '200ms' AS $$
DECLARE
    step interval := CASE WHEN span IN ('day', 'week', 'month') THEN ('1 ' || span)::interval END;
    since timestamptz;
    child text;
    later text := parent || '_later';
    made integer := 0;
    stored text := columns_stored(parent);
BEGIN
    SELECT max(e.until) INTO since FROM partition_ends(parent) e;
    IF since > now() + ahead * step THEN
        RETURN 0;
    END IF;
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, later);
    WHILE since <= now() + ahead * step LOOP
        child := parent || '_' || to_char(since, 'YYYYMMDD');
        PERFORM bare_partition(parent, child);
        EXECUTE format('WITH moved AS (DELETE FROM %I WHERE created_at >= $1 AND created_at < $2 RETURNING %s)'
            ' INSERT INTO %I (%s) SELECT * FROM moved', later, stored, child, stored) USING since, since + step;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, child, since, since + step);
        since := since + step;
        made := made + 1;
    END LOOP;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (MAXVALUE)', parent, later, since);
    EXECUTE format('ANALYZE %I', parent);
    RETURN made;
END
$$;

-- Drops the partitions whose rows are all of times before `before`, at most 31 at once, and returns how many it
-- dropped. It gives up after 200 ms of waiting for a lock. For a caller without the owner's role it
-- drops only expired partitions: of the audit log only sealed ones that all their seals have released.
CREATE OR REPLACE FUNCTION drop_partitions(parent text, before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '200ms' AS $$
DECLARE
    child record;
    earlier text := parent || '_earlier';
    scope text := current_setting('crewship.workspaces', true);
    allowed timestamptz := before;
    reached timestamptz;
    dropped integer := 0;
BEGIN
    IF NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
        allowed := least(before, CASE parent WHEN 'audit_logs' THEN audit_expired() ELSE now() - interval '1 day' END);
        IF parent = 'audit_logs' THEN
            SELECT max(p.until) INTO reached FROM partitions_of(parent) p WHERE p.until <= allowed;
            PERFORM set_config('crewship.workspaces', '*', true);
            IF EXISTS (
                SELECT FROM audit_seals WHERE digests IS NOT NULL AND first_at < reached
                    AND (dropped_until IS NULL OR dropped_until < reached)
            ) OR EXISTS (
                SELECT FROM audit_logs WHERE created_at < reached AND seq > coalesce(
                    (SELECT value::bigint FROM instance_facts WHERE name = 'audit_sealed'), 0
                )
            ) THEN
                allowed := '-infinity';
            END IF;
            PERFORM set_config('crewship.workspaces', coalesce(scope, ''), true);
            reached := NULL;
        END IF;
    END IF;
    -- each takes some locks until the end of the transaction
    FOR child IN SELECT * FROM partitions_of(parent) p WHERE p.until <= allowed ORDER BY p.until LIMIT 31 LOOP
        EXECUTE format('DROP TABLE %I', child.name);
        reached := child.until;
        dropped := dropped + 1;
    END LOOP;
    IF dropped > 0 THEN
        IF to_regclass(quote_ident(earlier)) IS NULL THEN
            PERFORM bare_partition(parent, earlier);
        ELSE
            EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, earlier);
        END IF;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
            parent, earlier, reached);
    END IF;
    RETURN dropped;
END
$$;

REVOKE ALL ON FUNCTION bare_partition(text, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION columns_stored(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION partition_ends(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION partitions_of(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION keep_partitions(text, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION drop_partitions(text, timestamptz) FROM PUBLIC;
