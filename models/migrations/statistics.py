"""PostgreSQL's statistics of the tables: when it analyzes each, and its assumptions about one that it has not analyzed.

Without statistics PostgreSQL estimates one row for `workspace_id = $1` in a small table. Every index that begins with
the workspace then seems as good as the one that continues with the parent, and a list of 50 crews reads all agents of
the workspace 50 times. See docs/database.md.
"""

from typing import Any, Final

ASSUMES: Final = 180_000  # the first server version whose owners can set statistics
PARAMETERS: Final = {"autovacuum_analyze_threshold": "20", "autovacuum_analyze_scale_factor": "0.05"}
"""The parameters of each table: by default, autovacuum never analyzes a table of 50 rows. bare_partition() has them,
too.
"""
ROWS_A_WORKSPACE: Final = 2
"""The assumption for a table without statistics: more than one row, so that an index that continues with the parent
costs less, and few, so that joins remain lookups by index.
"""

WITHOUT_PARAMETERS = """
    SELECT format('%I', relname) FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND NOT EXISTS (
        SELECT FROM unnest(reloptions) AS option WHERE starts_with(option, 'autovacuum_analyze_')
    )
"""
# An empty table that was analyzed counts as one of no rows, which is worse than none counted. The rows of a workspace
# lie together, so that a list reads an index in its order instead of sorting. No row is deleted: as shipped, PostgreSQL
# takes one of 200 for live.
ASSUME = """
    WITH fresh AS MATERIALIZED (
        SELECT current_schema()::text AS place, relname::text AS name, attname::text AS named
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
            AND (reltuples < 0 OR pg_relation_size(pg_class.oid) = 0)
            AND attname IN ('workspace_id', 'deleted_at') AND NOT attisdropped
    )
    SELECT pg_clear_relation_stats(place, name), CASE named
        WHEN 'workspace_id' THEN pg_restore_attribute_stats(
            'schemaname', place, 'relname', name, 'attname', named, 'inherited', false, 'null_frac', 0::real,
            'avg_width', 26, 'n_distinct', (-1.0 / $1::int)::real, 'correlation', 1::real
        )
        ELSE pg_restore_attribute_stats(
            'schemaname', place, 'relname', name, 'attname', named, 'inherited', false, 'null_frac', 1::real,
            'avg_width', 0, 'n_distinct', 0::real
        )
    END FROM fresh
"""
ANALYZE = "SELECT analyze_what_changed()"


async def prepare(connection: Any) -> None:
    """Gives parameters to tables that have none, and to empty ones assumptions. The connection is the owner's."""
    for (table,) in await connection.fetch(WITHOUT_PARAMETERS):
        given = ", ".join(f"{name} = {value}" for name, value in PARAMETERS.items())
        await connection.execute(f"ALTER TABLE {table} SET ({given})")
    if connection.get_server_version().major * 10_000 >= ASSUMES:
        await connection.fetch(ASSUME, ROWS_A_WORKSPACE)


async def analyze(connection: Any) -> None:
    """Analyzes what a migration or a restore has filled, one table a transaction."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    analyzed: set[str] = set()
    while (table := await connection.fetchval(ANALYZE)) not in {None, *analyzed}:
        analyzed.add(table)
