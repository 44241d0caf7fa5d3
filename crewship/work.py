"""Agents' work as a part of this process: the engine's own tables, then the runtime, then nothing until somebody asks for something."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

import asyncpg

from resolvers.kernel.settings import Settings
from resolvers.kernel.telemetry import log
from runtime.dbos_engine import prepare_engine
from runtime.service import Runtime

LOCK = 0x656E67696E65  # "engine"; one process at a time makes or changes the engine's tables
RETRY = 5.0  # seconds


async def prepare(owner: str, application: str) -> None:
    """Makes or upgrades the engine's tables as the owner of ours. Both are addresses of the database; the roles may be the same."""
    role, owns = (unquote(urlsplit(dsn).username or "") for dsn in (application, owner))
    connection = await asyncpg.connect(owner)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        await prepare_engine(owner, role if role and role != owns else None)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Carries out runs while the block runs, in every role but `api`. Returns at once: nobody who asks waits for the engine to load."""
    if settings.role == "api":
        yield
        return
    runtime = Runtime(settings)
    starting = asyncio.create_task(_start(runtime, settings))
    try:
        yield
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await runtime.stop()


async def _start(runtime: Runtime, settings: Settings) -> None:
    application = settings.database_url.get_secret_value() if settings.database_url else ""
    owner = settings.migration_database_url
    while True:
        try:
            if owner is not None:
                await prepare(owner.get_secret_value(), application)
            return await runtime.start()
        except Exception as error:
            log.error("engine not prepared; trying again", error=type(error).__name__)
            await asyncio.sleep(RETRY)
