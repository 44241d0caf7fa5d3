"""Partitions of the past, as there are on an instance that has run for a while."""

from datetime import datetime
from typing import Any

HOLDS = """
    SELECT c.relname AS name, substring(bounds FROM 'FROM \\((.+?)\\) TO') AS low,
        substring(bounds FROM 'TO \\((.+)\\)') AS high
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid, pg_get_expr(c.relpartbound, c.oid) bounds
    WHERE i.inhparent = to_regclass($1)
        AND coalesce(substring(bounds FROM 'FROM \\(''([^'']+)''\\)')::timestamptz, '-infinity') <= $2
        AND coalesce(substring(bounds FROM 'TO \\(''([^'']+)''\\)')::timestamptz, 'infinity') > $2
"""


async def part_off(conn: Any, table: str, name: str, begin: datetime, end: datetime) -> None:
    """`<table>_<name>`, in the place of a part of a partition that has no rows since `begin`; what is left of that is
    before and behind it.
    """
    holds = await conn.fetchrow(HOLDS, table, begin)
    low, high, at, until = holds["low"], holds["high"], f"'{begin.isoformat()}'", f"'{end.isoformat()}'"
    await conn.execute(f"ALTER TABLE {table} DETACH PARTITION {holds['name']}")
    parts = [(name, at, until)]
    ends_there = await conn.fetchval(f"SELECT {high}::timestamptz = $1", end) if high != "MAXVALUE" else False
    if not ends_there:
        parts.append((f"{name}_after", until, high))
    begins_there = await conn.fetchval(f"SELECT {low}::timestamptz = $1", begin) if low != "MINVALUE" else False
    if begins_there:
        assert not await conn.fetchval(f"SELECT count(*) FROM {holds['name']}")
        await conn.execute(f"DROP TABLE {holds['name']}")
    else:
        await conn.execute(f"ALTER TABLE {table} ATTACH PARTITION {holds['name']} FOR VALUES FROM ({low}) TO ({at})")
    for child, since, before in parts:
        await conn.execute(f"CREATE TABLE {table}_{child} PARTITION OF {table} FOR VALUES FROM ({since}) TO ({before})")
