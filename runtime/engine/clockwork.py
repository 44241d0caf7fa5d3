"""Clocks of a process that executes no runs and jobs, without the modules of runs, sandboxes and adapters."""

from resolvers.instance.settings import Settings
from resolvers.kernel.declarations.jobs import JOBS
from runtime.engine.clocks import Ticker, Ticking
from runtime.engine.liveness import Liveness, Rhythm, new_executor


class Clockwork:
    """Executes `clocks` in a process without other work."""

    def __init__(self, settings: Settings, clocks: tuple[Ticking, ...], *, rhythm: Rhythm | None = None) -> None:
        executor = new_executor()
        self._ticker = Ticker(clocks, executor)
        self._liveness = Liveness(session_of(settings), executor, list(JOBS.values()), self._ticker, rhythm=rhythm)

    async def start(self) -> None:
        """Returns at once."""
        self._liveness.start()

    async def stop(self) -> None:
        """Another process repeats an interrupted tick."""
        await self._liveness.stop()
        await self._ticker.stop()
        await self._liveness.leave()


def database_of(settings: Settings) -> str:
    if settings.database_url is None:
        raise RuntimeError("the runtime needs the address of the database")
    return settings.database_url.get_secret_value()


def session_of(settings: Settings) -> str:
    """The address under which a connection is a session of its own, also where a pooler shares the others."""
    direct = settings.database_direct_url
    return database_of(settings) if direct is None else direct.get_secret_value()
