"""Tables of a fresh instance have statistics soon: the server's own settings see to it."""

import asyncio

import pytest

from models.crews import Crew
from tests.world import World

pytestmark = pytest.mark.anyio
SOON = 40.0  # seconds; a server of tests has the databases of several tests to look after


async def test_fifty_crews_are_analyzed(world: World) -> None:
    await world.add(
        *[Crew(workspace_id=world.workspace.id, name=f"Crew {n}", slug=f"crew-{n}") for n in range(50)],
    )
    analyzed = (
        "SELECT last_autoanalyze IS NOT NULL AND n_mod_since_analyze = 0 FROM pg_stat_user_tables"
        " WHERE relname = 'crews'"
    )
    async with asyncio.timeout(SOON):
        while not await world.database.fetchval(analyzed):
            await asyncio.sleep(0.2)
    assert await world.database.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'crews'") == 50
