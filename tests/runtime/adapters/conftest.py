from collections.abc import AsyncIterator

import pytest

from resolvers.resources.costs import pricing
from tests.runtime.adapters.sinks import Journal
from tests.runtime.adapters.vendors import Vendor, Wire, vendor

WIRES: tuple[Wire, ...] = ("openai", "anthropic")


@pytest.fixture(autouse=True)
def _no_own_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no database here; tests/resources/costs/test_prices.py has runs with prices of their own."""

    async def none(workspace_id: str) -> dict[str, pricing.OwnPrice]:
        return {}

    monkeypatch.setattr(pricing, "_read", none)


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
