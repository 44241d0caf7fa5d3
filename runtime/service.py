"""The runtime as a process starts and stops it."""

import asyncio

from resolvers.kernel.settings import Settings
from resolvers.kernel.telemetry import log
from runtime.dbos_engine import DbosEngine, Prepare
from runtime.outfit import InstanceOutfit, Outfit
from runtime.supervisor import Supervisor, Timing

RETRY = 5.0  # seconds


class Runtime:
    """Carries out runs in this process, on the database that is open and the instance that is started.

    `prepare` makes the engine's tables, where nobody has before (see `dbos_engine.prepare_engine`).
    """

    def __init__(self, settings: Settings, outfit: Outfit | None = None, *, timing: Timing | None = None, prepare: Prepare | None = None) -> None:
        if settings.database_url is None:
            raise RuntimeError("the runtime needs the address of the database")
        engine = DbosEngine(settings.database_url.get_secret_value(), prepare)
        limits = {"slots": settings.max_concurrent_runs, "max_tokens": settings.run_max_tokens}
        self.supervisor = Supervisor(engine, outfit or InstanceOutfit(settings), timing=timing, **limits)
        self._starting: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        """Returns at once."""
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        while not self._stopped:
            try:
                return await self.supervisor.start()
            except Exception as error:
                log.error("runtime not started; trying again", error=type(error).__name__)
                await asyncio.sleep(RETRY)

    async def ready(self) -> None:
        """Until runs are claimed."""
        assert self._starting is not None
        await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """What runs is handed on to other workers."""
        self._stopped = True
        if self._starting is not None:
            await asyncio.wait([self._starting])
        await self.supervisor.stop()
