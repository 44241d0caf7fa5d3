"""Agents' work, background jobs and clocks as a part of this process, and the tables of the engine that makes them
durable.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from models.address import Address
from models.connections import open_connection
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from runtime.engine.clocks import ticking
from runtime.engine.clockwork import Clockwork
from runtime.engine.dbos_tables import prepare_engine

if TYPE_CHECKING:
    from runtime.containers.choice import EngineContainers
    from runtime.engine.service import Runtime

LOCK = 0x656E67696E65  # "engine"; one process at a time makes or changes the engine's tables


async def prepare(owner: str, application: str) -> None:
    """Makes or upgrades the engine's tables as the owner of ours. Both are database addresses, maybe of one role."""
    role, owns = (Address.read(dsn).user for dsn in (application, owner))
    connection = await open_connection(owner)
    try:
        # Not by waiting for it: a statement that waits has a snapshot, and the indexes that the holder makes
        # concurrently wait for that.
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await prepare_engine(owner, role if role and role != owns else None)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Carries out clocks while the block runs, and, in every role but `api`, runs and background jobs."""
    instance.commands, instance.terminals, instance.programs, instance.containers = None, None, None, None
    if settings.role == "api":
        work: Clockwork | Runtime = Clockwork(settings, ticking())
    else:
        from crewship.process.runs import everything

        work = everything(settings)
    address = settings.container_engine
    containers = None if address is None else _containers(settings, address)
    instance.containers = containers
    await work.start()
    try:
        yield
    finally:
        await work.stop()
        if containers is not None:
            await containers.engine.close()


def _containers(settings: Settings, address: str) -> "EngineContainers":
    from runtime.containers.choice import EngineContainers

    return EngineContainers(settings, address)
