"""Events and frames of runs in partitions by time, which are dropped when they have expired."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# What is partitioned belongs to the owner of the tables, who alone may make and drop tables: these functions are all
# that the service is given of it.
FUNCTIONS = (
    """
    CREATE FUNCTION partitions_of(parent text) RETURNS TABLE (name text, until timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
        SELECT c.relname::text,
            substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \\(''([^'']+)''\\)')::timestamptz
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(quote_ident(parent)) AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
    $$
    """,
    """
    CREATE FUNCTION keep_partitions(parent text, span text, ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '200ms' AS $$
    DECLARE
        step interval := CASE WHEN span IN ('day', 'week', 'month') THEN ('1 ' || span)::interval END;
        since timestamptz;
        child text;
        made integer := 0;
        stored text := (
            SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute
            WHERE attrelid = to_regclass(quote_ident(parent)) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
        );
    BEGIN
        SELECT coalesce(max(p.until), date_trunc(span, now())) INTO since FROM partitions_of(parent) p;
        WHILE since <= now() + ahead * step LOOP
            child := parent || '_' || to_char(since, 'YYYYMMDD');
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS'
                ' INCLUDING STORAGE)', child, parent);
            EXECUTE format('WITH moved AS (DELETE FROM %I WHERE created_at >= $1 AND created_at < $2 RETURNING %s)'
                ' INSERT INTO %I (%s) SELECT * FROM moved', parent || '_default', stored, child, stored)
                USING since, since + step;
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                parent, child, since, since + step);
            -- what comes through the table is judged by its policies; by the name of a partition nobody reads a row
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', child);
            since := since + step;
            made := made + 1;
        END LOOP;
        IF made > 0 THEN
            EXECUTE format('ANALYZE %I', parent);
        END IF;
        RETURN made;
    END $$
    """,
    """
    CREATE FUNCTION drop_partitions(parent text, before timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '200ms' AS $$
    DECLARE
        child text;
        dropped integer := 0;
    BEGIN
        -- each takes some locks until the end of the transaction
        FOR child IN SELECT p.name FROM partitions_of(parent) p WHERE p.until <= before ORDER BY p.until LIMIT 31 LOOP
            EXECUTE format('DROP TABLE %I', child);
            dropped := dropped + 1;
        END LOOP;
        RETURN dropped;
    END $$
    """,
)
KEYS = {"events": "xid, seq, created_at", "run_frames": "workspace_id, chat_id, seq, created_at"}
SPANS = {"events": "day", "run_frames": "week"}
INDEXES = {
    "events": (
        "CREATE INDEX events_channel_xid_seq_idx ON events (channel, xid, seq)",
        "CREATE INDEX events_created_at_idx ON events USING brin (created_at)",
        "CREATE INDEX events_access_idx ON events (xid, seq) WHERE type = 'access.changed'",
    ),
    "run_frames": (
        "CREATE INDEX run_frames_run_id_seq_idx ON run_frames (run_id, seq)",
        "CREATE INDEX run_frames_created_at_idx ON run_frames USING brin (created_at)",
        "CREATE INDEX run_frames_log_idx ON run_frames (workspace_id, agent_id, created_at, chat_id, seq)"
        " WHERE agent_id IS NOT NULL",
    ),
}


def partition(table: str) -> None:
    """The rows there are become the first partition, which is dropped like any other; no rows, no such partition."""
    before, connection = f"{table}_before", op.get_bind()
    op.execute(f"ALTER TABLE {table} RENAME TO {before}")
    named = connection.execute(sa.text(f"SELECT indexname FROM pg_indexes WHERE tablename = '{before}'"))
    for (index,) in named.all():
        op.execute(f'ALTER INDEX "{index}" RENAME TO "{index}_before"')
    following = 1
    if table == "events":
        following = 1 + connection.execute(sa.text(f"SELECT coalesce(max(seq), 0) FROM {before}")).scalar_one()
        op.execute(f"ALTER TABLE {before} ALTER seq DROP IDENTITY")
    op.execute(
        f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)"
        " PARTITION BY RANGE (created_at)"
    )
    if table == "events":
        op.execute(f"ALTER TABLE {table} ALTER seq ADD GENERATED ALWAYS AS IDENTITY (START {following})")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({KEYS[table]})")
    foreign = connection.execute(
        sa.text(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            f" WHERE contype = 'f' AND conrelid = '{before}'::regclass"
        )
    )
    for name, definition in foreign.all():
        op.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    for index in INDEXES[table]:
        op.execute(index)
    op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    op.execute(f"ALTER TABLE {table}_default ENABLE ROW LEVEL SECURITY")
    if connection.execute(sa.text(f"SELECT EXISTS (SELECT FROM {before})")).scalar_one():
        op.execute(f"ALTER TABLE {before} DROP CONSTRAINT {table}_pkey_before")
        op.execute(f"ALTER TABLE {before} ADD CONSTRAINT {before}_pkey PRIMARY KEY ({KEYS[table]})")
        span = SPANS[table]
        until = connection.execute(
            sa.text(f"SELECT date_trunc('{span}', now(), 'UTC') + interval '1 {span}'")
        ).scalar_one()
        op.execute(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ('{until}')")
    else:
        op.execute(f"DROP TABLE {before}")
    op.execute(f"SELECT keep_partitions('{table}', '{SPANS[table]}', 3)")


def upgrade() -> None:
    for function in FUNCTIONS:
        op.execute(function)
    for signature in ("partitions_of(text)", "keep_partitions(text, text, integer)", "drop_partitions(text, timestamptz)"):
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
    for table in KEYS:
        partition(table)


def downgrade() -> None:
    raise NotImplementedError
