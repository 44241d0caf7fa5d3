from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.world import World, world_on


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """Without workers: what was sent stays as it was sent."""
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api", row_level_security=True) as made:
        yield made
