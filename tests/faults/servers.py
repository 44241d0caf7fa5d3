"""Real processes of `crewship serve` on one database, which may be killed at any moment and are started again."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.conftest import Database
from tests.process.commands import Served, environment, serving
from tests.world import World

KEYS = {
    "NEXTAUTH_SECRET": "a secret of tests, long enough to be one",
    "ENCRYPTION_KEY": "ab" * 32,
    "CREWSHIP_ADMIN_TOKEN_HMAC_KEY": "cd" * 32,
    "CREWSHIP_RATELIMIT_DISABLED": "true",
}
SHORT_LEASES = """
import functools
from runtime.engine import service, supervisor
supervisor.Timing = functools.partial(supervisor.Timing, lease=1.0, extend=0.25, poll=0.1)
from crewship.cli.main import main
main()
"""
PATIENCE = 60.0  # seconds; a loaded machine starts processes slowly


def addresses(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.url, "CREWSHIP_MIGRATION_DATABASE_URL": database.owner_url}


@dataclass(frozen=True)
class Place:
    """Where one of the processes runs. `within`: begins its command."""

    settings: Mapping[str, str] = field(default_factory=dict)
    within: Sequence[str] = ()
    address: str = "127.0.0.1"


HERE = Place()


class Server:
    """One of the processes, under an address of its own after each start. It carries out runs, too, and the leases of
    those it leaves are short.
    """

    def __init__(self, world: World, directory: Path, env: dict[str, str], place: Place = HERE) -> None:
        self.place = place
        self.world = world  # as this process serves it, or has served it last
        self.directory = directory  # of its data
        self.under_way = 0  # requests of the test
        self.said = ""  # on stderr
        self._env = env
        self._served: Served | None = None
        self._open = contextlib.ExitStack()
        self._starting = asyncio.create_task(self._start())

    async def ready(self) -> None:
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        command = [*self.place.within, sys.executable, "-c", SHORT_LEASES]
        served = await asyncio.to_thread(self._open.enter_context, serving(env=self._env, command=command))
        self._served, self.world = served, replace(self.world, url=f"http://{self.place.address}:{served.port}")

    async def kill(self) -> None:
        """Returns when it is dead; another one starts."""
        await self._end(signal.SIGKILL)
        self._starting = asyncio.create_task(self._start())

    async def lose(self) -> None:
        """It is dead, as its host is: no other one starts."""
        await self._end(signal.SIGKILL)
        self._served = None

    async def close(self) -> None:
        await self.ready()
        if self._served is None:
            return
        await self._end(signal.SIGTERM)

    async def _end(self, signum: signal.Signals) -> None:
        served = self._served
        assert served is not None, "it is dead already"
        await asyncio.to_thread(served.end, signum)
        self.said += served.logged()
        self._open.close()


@contextlib.asynccontextmanager
async def servers(
    database: Database, directory: Path, world: World, number: int = 2, places: Sequence[Place] = (), **settings: str
) -> AsyncIterator[list[Server]]:
    """They have said nothing that an operator would have to look at, killed or not. `places`: in place of `number`."""
    chosen = places or [HERE] * number
    shared = (
        KEYS
        | addresses(database)
        | {"CREWSHIP_LOG_LEVEL": "error", "CREWSHIP_RUN_ADAPTER": "scripted", "CREWSHIP_SCRIPT_DIR": str(directory)}
        | settings
    )
    made = [
        Server(world, directory / str(n), environment(directory / str(n), **(shared | dict(place.settings))), place)
        for n, place in enumerate(chosen)
    ]
    try:
        for server in made:
            await server.ready()
        yield made
    finally:
        for server in made:
            await server.close()
    assert [server.said for server in made] == [""] * len(made), [server.said for server in made]
