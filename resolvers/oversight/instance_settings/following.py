"""Live settings in this process: read when a ring says that they have changed, and without one every two seconds."""

import asyncio
import contextlib

import asyncpg
from sqlmodel import col

from models.oversight.instance_settings import InstanceSetting
from resolvers.instance import live_settings
from resolvers.kernel import Refusal, Topic, instance, log
from resolvers.kernel.store.across import of_instance
from resolvers.kernel.store.bus import bus

EVERY = 2.0  # seconds between looks without a wake-up
TROUBLE = (Refusal, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class SettingsFollowing:
    """Applies stored settings in this process. While the database does not answer, the last read settings stay in
    effect.
    """

    def __init__(self) -> None:
        self._failing = False

    async def look(self) -> None:
        try:
            async with of_instance() as tables:
                stored = await tables.select(
                    InstanceSetting,
                    col(InstanceSetting.key).in_(sorted(live_settings.NAMES)),
                    columns=("key", "plain"),
                )
        except TROUBLE as error:
            if not self._failing:
                log.warning("settings of the instance unknown", error=type(error).__name__)
            self._failing = True
            return
        self._failing = False
        instance.override({key: plain for key, plain in stored if plain is not None})

    async def run(self) -> None:
        rung = asyncio.Event()
        off = bus.on(Topic.settings, lambda _: rung.set())
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await rung.wait()
                rung.clear()
                await self.look()
        finally:
            off()
