from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from resolvers.missions import driving
from runtime import dbos_engine
from tests.missions.harbour import Agents, Harbour, working
from tests.runtime.estate import estate_on


@pytest.fixture(scope="module")
async def harbour(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Harbour]:
    """With a worker that looks often, and at once."""
    agents = Agents()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(driving, "FIRST_LOOK", timedelta(0))
        patched.setattr(dbos_engine, "POLL_OF_JOBS", 0.1)
        async with (
            estate_on(module_database, tmp_path_factory.mktemp("data"), row_level_security=True) as estate,
            working(estate, agents),
        ):
            yield Harbour(estate, agents)
