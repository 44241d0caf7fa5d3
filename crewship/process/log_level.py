"""Keeps a process at the log level that is stored: changed by a ring, and by looking where one was lost."""

import asyncio
import contextlib
from typing import Final

from models.kernel import LOG_LEVEL
from resolvers.instance.log_level import LogLevel, log_from
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.store.bus import Topic, bus
from resolvers.kernel.store.database import database
from resolvers.oversight.admin.log_level import holding

EVERY: Final = 30.0  # seconds between looks without a wake-up
STORED: Final = "SELECT (SELECT value FROM instance_facts WHERE name = $1), now()"


class Follower:
    """Keeps this process at the level that is stored."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._level: LogLevel | None = None

    async def run(self) -> None:
        """Until cancelled. The process starts with the configured level."""
        rung, self._level = asyncio.Event(), LogLevel(instance.settings.log_level)
        off = bus.on(Topic.settings, lambda _: rung.set())
        try:
            while True:
                wait = await self._follow()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await rung.wait()
                rung.clear()
        finally:
            off()

    async def _follow(self) -> float:
        """Seconds until the next look."""
        try:
            async with database.lease() as conn:
                stored, now = await conn.fetchrow(STORED, LOG_LEVEL)
        except Exception as error:
            log.warning("log level unknown", error=type(error).__name__)
            return self._every
        state = holding(stored, now)
        if state.level is not self._level:
            self._level = state.level
            log_from(state.level)
        if state.expires_at is None:
            return self._every
        return min(self._every, float((state.expires_at - now).total_seconds()))


log_level = Follower()
