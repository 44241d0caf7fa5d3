"""What tests of the engine stand on: a body that does what a test says, and a database with the engine's tables."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION
from resolvers.kernel.store.database import database as pool
from runtime.engine.dbos_engine import DbosEngine
from runtime.engine.dbos_tables import prepare_engine


class Body:
    """What an engine calls: the test says what it does."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.ended: dict[str, asyncio.Event] = {}
        self.does: Callable[[str], Awaitable[None]] = self.nothing

    async def nothing(self, run_id: str) -> None: ...

    async def __call__(self, run_id: str) -> None:
        self.calls.append(run_id)
        try:
            await self.does(run_id)
        finally:
            self.ended.setdefault(run_id, asyncio.Event()).set()

    async def end(self, run_id: str) -> None:
        async with asyncio.timeout(30):
            await self.ended.setdefault(run_id, asyncio.Event()).wait()
        self.ended.pop(run_id)


@pytest.fixture(scope="module")
async def prepared(module_database: Any, anyio_backend: str) -> AsyncIterator[Any]:
    await prepare_engine(module_database.owner_url, APPLICATION)
    await pool.open(module_database.url, size=4)
    yield module_database
    await pool.close()


@pytest.fixture
async def database(prepared: Any) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(prepared.owner_url)
    yield conn
    await conn.close()


async def written_down(engine: DbosEngine, run_id: str) -> None:
    async with asyncio.timeout(30):
        while run_id in engine._runs:
            await asyncio.sleep(0.01)
        await engine._records.settle()


async def settled(database: asyncpg.Connection, run_id: str, status: str) -> None:
    """DBOS writes a workflow's end after the body has returned."""
    async with asyncio.timeout(30):
        while (
            await database.fetchval("SELECT status FROM dbos.workflow_status WHERE workflow_uuid = $1", run_id)
            != status
        ):
            await asyncio.sleep(0.01)
