"""The engine of a module, and an engine for a test, which leaves no container there."""

from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.containers.engine import ContainerEngine
from tests.containers.engines import running_engine


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_engine(tmp_path_factory.mktemp("engine")) as made:
        yield made


@pytest.fixture
async def engine(address: str) -> AsyncIterator[ContainerEngine]:
    made = ContainerEngine(address)
    yield made
    for found in await made.list({}):
        await made.remove(str(found["Id"]))
    await made.close()
