from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kernel.safe import stored
from tests.kernel.shelf import Shelf, shelf
from tests.world import world_on


@pytest.fixture(scope="module")
async def kept(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Shelf]:
    directory = tmp_path_factory.mktemp("data")
    with shelf() as (model, routes):
        async with (
            stored(module_database, model),
            world_on(module_database, directory, routes=routes, storage_path=directory / "files") as world,
        ):
            yield Shelf(world, routes)
