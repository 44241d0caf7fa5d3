"""Which processes carry out runs: each says so again and again, until it stops or nothing is heard of it any more."""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import col

from models.workers import Worker
from resolvers.kernel import database

EVERY: Final = 30.0  # seconds after which a worker says again that it is there
HEARD: Final = timedelta(seconds=3 * EVERY)
"""How long what a worker has said holds."""

_THERE = """
    INSERT INTO workers (id, runtime, version) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET runtime = excluded.runtime, version = excluded.version, seen_at = now()
"""
_GONE = "DELETE FROM workers WHERE id = $1"


async def there(worker: str, runtime: str | None, version: str | None) -> None:
    async with database.lease() as conn:
        await conn.execute(_THERE, worker, runtime, version)


async def gone(worker: str) -> None:
    async with database.lease() as conn:
        await conn.execute(_GONE, worker)


def alive() -> Any:
    """The condition of workers that are there."""
    return col(Worker.seen_at) > func.now() - HEARD
