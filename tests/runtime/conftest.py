from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.runtime.estate import Estate, estate_on


@pytest.fixture(scope="module")
async def estate(module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Estate]:
    async with estate_on(module_database, tmp_path_factory.mktemp("data")) as made:
        yield made
