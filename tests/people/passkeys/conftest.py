"""The world of passkeys has a public URL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.world import World, world_on


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    directory = tmp_path_factory.mktemp("data")
    async with world_on(module_database, directory, public_url="https://crewship.example.com") as made:
        yield made
