from collections.abc import AsyncIterator

import pytest

from tests.runtime.adapters.sinks import Journal
from tests.runtime.adapters.vendors import Vendor, Wire, vendor

WIRES: tuple[Wire, ...] = ("openai", "anthropic")


@pytest.fixture(scope="module", params=WIRES)
async def _running(request: pytest.FixtureRequest, anyio_backend: str) -> AsyncIterator[Vendor]:
    async with vendor(request.param) as made:
        yield made


@pytest.fixture
def server(_running: Vendor) -> Vendor:
    """Each of the two wires in turn, with nothing to say yet."""
    _running.reset()
    return _running


@pytest.fixture
def journal() -> Journal:
    return Journal()
