"""Statistics of PostgreSQL are kept up to date by the service, too: autovacuum may be slow, or somebody else's to set.

A table is analyzed where more of its rows have changed than it had when it was analyzed last, and more than twenty.
The database decides, as the owner of the tables, and lets one process at a time do so.
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
