"""The sweep removes many rows in portions, none of which takes long, and whoever listens goes on hearing."""

from typing import Any

import asyncpg
import pytest

from resolvers.kernel import sweeper
from tests.scale.sweeping import sweep_old
from tests.world import World

pytestmark = pytest.mark.anyio

ROWS = 50_000


async def test_a_sweep_of_many_rows_holds_nobody_up(world: World, module_database: Any) -> None:
    superuser = await asyncpg.connect(module_database.server.dsn("postgres", module_database.name))
    try:
        swept = await sweep_old(superuser, world, ROWS)
    finally:
        await superuser.close()
    assert swept.left == 0
    assert len(swept.portions) >= 3 * ROWS / sweeper.PORTION
    assert max(swept.portions) < 1.5, sorted(swept.portions)[-5:]  # a second, and some of a machine that has much else to do
    assert swept.waited, "nobody listened"
    assert max(swept.waited) < 2.0, sorted(swept.waited)[-5:]
