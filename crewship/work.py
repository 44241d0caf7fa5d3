"""Agents' work as a part of this process, and the tables of the engine that makes it durable."""

import contextlib
import functools
from collections.abc import AsyncIterator
from urllib.parse import unquote, urlsplit

import asyncpg

from resolvers.kernel.settings import Settings
from runtime.dbos_engine import prepare_engine
from runtime.service import Runtime

LOCK = 0x656E67696E65  # "engine"; one process at a time makes or changes the engine's tables


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
    """Carries out runs while the block runs, in every role but `api`."""
    if settings.role == "api":
        yield
        return
    runtime = Runtime(settings, prepare=functools.partial(_prepare, settings))
    await runtime.start()
    try:
        yield
    finally:
        await runtime.stop()


async def _prepare(settings: Settings) -> None:
    """Where this process knows the owner of the tables; else whoever deploys it has run `crewship migrate`."""
    if settings.migration_database_url is not None and settings.database_url is not None:
        await prepare(settings.migration_database_url.get_secret_value(), settings.database_url.get_secret_value())
