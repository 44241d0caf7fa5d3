from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.work.issues.board import Board
from tests.world import World, world_on


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """Without workers: what is started stays as it was started."""
    async with world_on(module_database, tmp_path_factory.mktemp("data"), row_level_security=True) as made:
        yield made


@pytest.fixture
async def board(world: World) -> Board:
    """A crew of its own for each test, with a lead and a worker."""
    return await Board.of(world)
