"""Agents' work, background jobs and clocks as a part of this process, and the tables of the engine that makes them
durable.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg

from models.address import Address
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from runtime.containers.choice import EngineContainers
from runtime.engine.background import carried
from runtime.engine.clocks import ticking
from runtime.engine.dbos_tables import prepare_engine
from runtime.engine.service import Clockwork, Runtime
from runtime.oversight.keeper import SandboxedCommands
from runtime.runs.mcp_programs import SandboxedPrograms
from runtime.runs.terminals import SandboxedTerminals

LOCK = 0x656E67696E65  # "engine"; one process at a time makes or changes the engine's tables


async def prepare(owner: str, application: str) -> None:
    """Makes or upgrades the engine's tables as the owner of ours. Both are database addresses, maybe of one role."""
    role, owns = (Address.read(dsn).user for dsn in (application, owner))
    connection = await asyncpg.connect(owner)
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
    work = (
        Clockwork(settings, ticking())
        if settings.role == "api"
        else Runtime(settings, jobs=carried(), clocks=ticking())
    )
    instance.commands = None if settings.role == "api" else SandboxedCommands(settings)
    instance.terminals = None if settings.role == "api" else SandboxedTerminals(settings)
    instance.programs = None if settings.role == "api" else SandboxedPrograms(settings)
    address = settings.container_engine
    containers = None if address is None else EngineContainers(settings, address)
    instance.containers = containers
    await work.start()
    try:
        yield
    finally:
        await work.stop()
        if containers is not None:
            await containers.engine.close()
