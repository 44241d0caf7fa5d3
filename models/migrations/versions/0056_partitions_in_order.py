"""Partitions for what is earlier and later instead of the default one, so that a list reads one partition after another."""

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None

TABLES = ("events", "run_frames", "audit_logs")
BARE = """
    CREATE FUNCTION bare_partition(parent text, child text) RETURNS void
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
    BEGIN
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS'
            ' INCLUDING STORAGE)', child, parent);
        -- what comes through the table is judged by its policies; by the name of a partition nobody reads a row
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
    END $$
"""
STORED = """
    CREATE FUNCTION columns_stored(parent text) RETURNS text LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
        SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
        WHERE attrelid = to_regclass(quote_ident(parent)) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    $$
"""
ENDS = """
    CREATE FUNCTION partition_ends(parent text) RETURNS TABLE (name text, until timestamptz)
    LANGUAGE sql STABLE SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
        SELECT c.relname::text,
            substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(quote_ident(parent))
    $$
"""
OF = """
    CREATE OR REPLACE FUNCTION partitions_of(parent text) RETURNS TABLE (name text, until timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
        SELECT e.name, e.until FROM partition_ends(parent) e
        WHERE e.name NOT IN (parent || '_earlier', parent || '_later')
    $$
"""
KEEP = """
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
    END $$
"""
DROP = """
    CREATE OR REPLACE FUNCTION drop_partitions(parent text, before timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '200ms' AS $$
    DECLARE
        child record;
        earlier text := parent || '_earlier';
        reached timestamptz;
        dropped integer := 0;
    BEGIN
        -- each takes some locks until the end of the transaction
        FOR child IN SELECT * FROM partitions_of(parent) p WHERE p.until <= before ORDER BY p.until LIMIT 31 LOOP
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
    END $$
"""
"""What comes later and is of a time that was dropped has its place in the partition of what is earlier."""
FIRST = """
    SELECT min(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \\(''([^'']+)''\\)')::timestamptz),
        bool_or(pg_get_expr(c.relpartbound, c.oid) LIKE '%(MINVALUE)%')
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:parent)
"""


def upgrade() -> None:
    for function in (BARE, STORED, ENDS, OF, KEEP, DROP):
        op.execute(function)
    for signature in ("bare_partition(text, text)", "columns_stored(text)", "partition_ends(text)"):
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for table in TABLES:
        divide(table)


def divide(table: str) -> None:
    """The default partition's rows, of which there are none unless the sweep has failed for days, find their place."""
    connection = op.get_bind()
    op.execute(f"ALTER TABLE {table} DETACH PARTITION {table}_default")
    first, open_below = connection.execute(sa.text(FIRST), {"parent": table}).one()
    last = connection.execute(sa.text("SELECT max(until) FROM partition_ends(:parent)"), {"parent": table}).scalar_one()
    stored = connection.execute(sa.text("SELECT columns_stored(:parent)"), {"parent": table}).scalar_one()
    sides = [("later", f"created_at >= '{last}'", f"FROM ('{last}') TO (MAXVALUE)")]
    if not open_below:
        sides.append(("earlier", f"created_at < '{first}'", f"FROM (MINVALUE) TO ('{first}')"))
    for name, condition, bounds in sides:
        op.execute(f"SELECT bare_partition('{table}', '{table}_{name}')")
        op.execute(f"INSERT INTO {table}_{name} ({stored}) SELECT {stored} FROM {table}_default WHERE {condition}")
        op.execute(f"ALTER TABLE {table} ATTACH PARTITION {table}_{name} FOR VALUES {bounds}")
    op.execute(f"DROP TABLE {table}_default")


def downgrade() -> None:
    raise NotImplementedError
