"""The service keeps PostgreSQL's statistics up to date itself: autovacuum may be slow, or not ours to configure.

It analyzes a table if more than twenty of its rows, and more than it had at the last analysis, have changed since. The
database decides, as the owner of the tables, and admits one process at a time.
"""

from datetime import timedelta

from resolvers.kernel.background.clocks import clock
from resolvers.kernel.store.database import database

ANALYZE = clock("system.analyze", every=timedelta(minutes=1))
CHANGED = "SELECT analyze_what_changed()"


async def analyze() -> None:
    """One tick: one statement where nothing is due, and one more for each table that was analyzed."""
    analyzed: set[str] = set()
    while True:
        async with database.lease() as conn:
            table = await conn.fetchval(CHANGED)
        if table is None or table in analyzed:
            return
        analyzed.add(table)
