from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from resolvers.work.missions import driving
from tests.runtime.estate import estate_on
from tests.work.missions.desk import Desk
from tests.work.missions.harbour import Agents, Harbour, working
from tests.world import World, world_on


@pytest.fixture(scope="module")
async def harbour(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Harbour]:
    """With a worker that looks often, and at once."""
    agents = Agents()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(driving, "FIRST_LOOK", timedelta(0))
        async with (
            estate_on(module_database, tmp_path_factory.mktemp("data"), row_level_security=True) as estate,
            working(estate, agents),
        ):
            yield Harbour(estate, agents)


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """Without workers: what is started stays as it was started."""
    async with world_on(module_database, tmp_path_factory.mktemp("data"), row_level_security=True) as made:
        yield made


@pytest.fixture
async def desk(world: World) -> Desk:
    """A crew of its own for each test, with a lead and a worker."""
    return await Desk.of(world)
