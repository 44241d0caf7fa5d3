from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.runtime.estate import Estate, estate_on
from tests.runtime.shop import Shop
from tests.runtime.turns import Turn


@pytest.fixture(scope="module")
async def estate(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Estate]:
    async with estate_on(module_database, tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture
async def nothing_waits(estate: Estate) -> AsyncIterator[None]:
    """No run of a test is left to the next."""
    yield
    await estate.owner.execute("UPDATE runs SET status = 'CANCELLED' WHERE status = 'RUNNING'")


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    yield made
    for worker in made.open:
        await worker.stop()


@pytest.fixture
async def turn(estate: Estate) -> Turn:
    return await Turn.begin(estate)
