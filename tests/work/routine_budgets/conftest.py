from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from models.staff.crews import Crew, NetworkMode
from tests.runtime.estate import estate_on
from tests.work.routine_budgets.purse import Purse
from tests.work.routine_runs.yard import RoutineYard, carrying
from tests.world import connect_for_all


@pytest.fixture(scope="module")
async def purse(
    module_database: object, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Purse]:
    """With a worker whose agents spend what the test says."""
    directory = tmp_path_factory.mktemp("data")
    async with estate_on(module_database, directory, row_level_security=True) as estate:
        crew = Crew(name="Deck", slug="deck", workspace_id=estate.workspace.id, network_mode=NetworkMode.free)
        await estate.add(crew)
        owner = await connect_for_all(module_database.owner_url)  # type: ignore[attr-defined]
        made = Purse(RoutineYard(estate, crew), replace(estate, owner=owner))
        async with carrying(estate, made.spend):
            yield made
        await owner.close()
