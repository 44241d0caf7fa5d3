from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.staff.crews import Crew, NetworkMode
from tests.runtime.estate import estate_on
from tests.work.routine_runs.yard import RoutineYard, carrying


@pytest.fixture(scope="module")
async def yard(
    module_database: object, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[RoutineYard]:
    """With a worker that looks often, and at once."""
    directory = tmp_path_factory.mktemp("data")
    async with (
        estate_on(module_database, directory, row_level_security=True, hooks_allow_private=True) as estate,
        carrying(estate),
    ):
        crew = Crew(name="Deck", slug="deck", workspace_id=estate.workspace.id, network_mode=NetworkMode.free)
        await estate.add(crew)
        yield RoutineYard(estate, crew)


@pytest.fixture
async def shore(database: Any, tmp_path: Path, anyio_backend: str) -> AsyncIterator[RoutineYard]:
    """Without a worker of its own."""
    async with estate_on(database, tmp_path, hooks_allow_private=True) as estate:
        crew = Crew(name="Deck", slug="deck", workspace_id=estate.workspace.id, network_mode=NetworkMode.free)
        await estate.add(crew)
        yield RoutineYard(estate, crew)
