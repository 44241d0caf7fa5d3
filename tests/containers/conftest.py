"""A podman for a module, and an engine for a test, which leaves no container there."""

from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.containers.engine import Engine
from tests.containers.podman import podman


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with podman(tmp_path_factory.mktemp("podman")) as made:
        yield made


@pytest.fixture
async def engine(address: str) -> AsyncIterator[Engine]:
    made = Engine(address)
    yield made
    for found in await made.list({}):
        await made.remove(str(found["Id"]))
    await made.close()
