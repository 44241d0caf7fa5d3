"""The processes that execute runs: each reports repeatedly until it stops; one whose reports end counts as gone."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func
from sqlmodel import col

from models.workers import Worker
from resolvers.kernel import NOW
from resolvers.kernel.store.across import of_instance
from resolvers.rules.coding_agents import FoundCodingAgent

EVERY: Final = 30.0  # seconds after which a worker says again that it is there
HEARD: Final = timedelta(seconds=3 * EVERY)
"""The validity of a worker's report."""


async def there(
    worker: str, runtime: str | None, version: str | None, coding_agents: Sequence[FoundCodingAgent]
) -> None:
    told = [each.model_dump(mode="json") for each in coding_agents]
    row = Worker(id=worker, runtime=runtime, version=version, coding_agents=told)
    async with of_instance() as tables:
        await tables.upsert([row], "id", seen_at=NOW)


async def gone(worker: str) -> None:
    async with of_instance() as tables:
        await tables.take(Worker, col(Worker.id) == worker)


def alive() -> Any:
    """The condition of workers that are there."""
    return col(Worker.seen_at) > func.now() - HEARD
