"""Which processes carry out runs: each says so again and again, until it stops or nothing is heard of it any more."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import col

from models.workers import Worker
from resolvers.kernel import database
from resolvers.rules.coding_agents import FoundCodingAgent

EVERY: Final = 30.0  # seconds after which a worker says again that it is there
HEARD: Final = timedelta(seconds=3 * EVERY)
"""How long what a worker has said holds."""

_THERE = """
    INSERT INTO workers (id, runtime, version, coding_agents) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET
        runtime = excluded.runtime, version = excluded.version, coding_agents = excluded.coding_agents, seen_at = now()
"""
_GONE = "DELETE FROM workers WHERE id = $1"


async def there(
    worker: str, runtime: str | None, version: str | None, coding_agents: Sequence[FoundCodingAgent]
) -> None:
    told = [each.model_dump(mode="json") for each in coding_agents]
    async with database.lease() as conn:
        await conn.execute(_THERE, worker, runtime, version, told)


async def gone(worker: str) -> None:
    async with database.lease() as conn:
        await conn.execute(_GONE, worker)


def alive() -> Any:
    """The condition of workers that are there."""
    return col(Worker.seen_at) > func.now() - HEARD
