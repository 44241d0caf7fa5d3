"""A model of Anthropic on loopback, the keys that open it, and what is known of calls of no run."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from resolvers.kernel import instance
from tests.runtime.adapters.vendors import Vendor, vendor
from tests.world import World

KEY = "sk-ant-api03-the-secret-of-the-workspace"


@pytest.fixture
async def model(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vendor]:
    """Without keys, calls and budgets from before."""
    for table in ("credentials", "model_calls", "cost_days", "budgets", "budget_spends", "call_reservations"):
        await world.database.execute(f"DELETE FROM {table}")
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(vendor("anthropic"))
        settings = instance.settings.model_copy(update={"anthropic_base_url": made.address})
        monkeypatch.setattr(instance, "_settings", settings)
        yield made


async def key(world: World, value: str = KEY, **more: Any) -> str:
    number = await world.database.fetchval("SELECT count(*) FROM credentials")
    body = {"name": f"key {number}", "type": "API_KEY", "provider": "ANTHROPIC", "value": value} | more
    answer = await world.rest(world.admin, "POST", "/api/v1/credentials", body)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


async def calls(world: World) -> list[Any]:
    return list(await world.database.fetch("SELECT * FROM model_calls ORDER BY created_at"))


async def budget(world: World, amount: float, **more: Any) -> str:
    body = {"period": "total", "amount_usd": amount} | more
    answer = await world.rest(world.admin, "POST", "/api/v1/budgets", body)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


async def shown(world: World, id: str) -> Any:
    return (await world.rest(world.manager, "GET", f"/api/v1/budgets/{id}")).json()
