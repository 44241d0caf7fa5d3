"""Prices that a workspace sets: they precede the published ones, in every process, and change no booked call."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.staff.agents import LlmProvider
from resolvers.kernel import Topic
from resolvers.kernel.store.bus import bus
from resolvers.resources.costs import pricing
from resolvers.resources.costs.pricing import OwnPrice, Used, own_cost
from tests.conftest import Database
from tests.process.commands import environment, serving
from tests.resources.costs.vendor import budget, calls, key, shown
from tests.resources.costs.vendor import model as model
from tests.runtime.adapters.agents import Lookup, adapter
from tests.runtime.adapters.sinks import Journal, job
from tests.runtime.adapters.vendors import Call, Says, Vendor, vendor
from tests.world import World, now

pytestmark = pytest.mark.anyio
SET = (
    "mutation($ws: ID, $input: SetModelPriceInput!) { setModelPrice(workspaceId: $ws, input: $input)"
    " { id model since inputUsd outputUsd cachedInputUsd } }"
)
LIST = "query($ws: ID) { modelPrices(workspaceId: $ws, first: 50) { totalCount nodes { id model since inputUsd } } }"
DELETE = "mutation($ws: ID, $id: ID!) { deleteModelPrice(workspaceId: $ws, input: {id: $id}) { id } }"
UNPRICED = (
    "query($ws: ID) { costBreakdown(workspaceId: $ws, groupBy: [model])"
    " { total { costUsd } unpriced { model calls priced } } }"
)
MODEL = "claude-sonnet-4-6"
counts = st.integers(0, 10**9)
amounts = st.integers(0, 10**9)


@pytest.fixture(autouse=True)
async def unset(world: World) -> AsyncIterator[None]:
    await world.database.execute("DELETE FROM model_prices")
    bus.ring(Topic.settings)
    yield
    bus.ring(Topic.settings)


async def put(world: World, model: str, read: float, wrote: float, **more: Any) -> Any:
    answer = await world.graphql(
        world.admin, SET, {"input": {"model": model, "inputUsd": read, "outputUsd": wrote} | more}
    )
    assert "errors" not in answer, answer
    return answer["data"]["setModelPrice"]


async def generate(world: World, slug: str) -> int:
    path = f"/api/v1/workspaces/{world.workspace.id}/skills/generate"
    return (await world.rest(world.manager, "POST", path, {"slug": slug, "prompt": "x", "force": True})).status_code


# ---- the price of a call ---------------------------------------------------------------------------------------------


@given(counts, counts, counts, counts, amounts, amounts, amounts)
def test_a_call_costs_what_its_tokens_cost(
    fresh: int, cached: int, written: int, wrote: int, read_price: int, wrote_price: int, cached_price: int
) -> None:
    price = OwnPrice(read_price, wrote_price, cached_price)
    found = price.cost(Used(fresh + cached + written, wrote, cached, written))
    exact = Fraction((fresh + written) * read_price + cached * cached_price + wrote * wrote_price, 10**12)
    assert found == pytest.approx(float(exact))
    assert (found == 0) == (exact == 0)


async def test_a_price_is_set_replaced_and_deleted(world: World) -> None:
    today, tomorrow = now().date(), (now() + timedelta(days=1)).date()
    first = await put(world, "own", 1.5, 6)
    own = first["since"], first["inputUsd"], first["outputUsd"], first["cachedInputUsd"]
    assert own == (str(today), 1.5, 6, None)
    used = Used(1_000_000, 1_000_000, 500_000)
    assert await own_cost(world.workspace.id, "own", used) == 7.5, "what is read from a cache costs as much"
    again = await put(world, "own", 2, 6, cachedInputUsd=0.2, since=str(today))
    assert again["id"] == first["id"]
    assert await own_cost(world.workspace.id, "own", used) == 7.1
    later = await put(world, "own", 100, 100, since=str(tomorrow))
    assert await own_cost(world.workspace.id, "own", used) == 7.1, "not yet"
    earlier = await put(world, "own", 9, 9, since="2020-01-01")
    assert await own_cost(world.workspace.id, "own", used) == 7.1, "the newest one that has begun"
    listed = (await world.graphql(world.manager, LIST))["data"]["modelPrices"]
    assert [row["id"] for row in listed["nodes"]] == [later["id"], first["id"], earlier["id"]]
    assert "errors" not in await world.graphql(world.admin, DELETE, {"id": first["id"]})
    assert await own_cost(world.workspace.id, "own", used) == 18
    assert await own_cost(world.workspace.id, "Own", used) is None
    assert await own_cost(world.other.id, "own", used) is None
    assert [(row["action"], row["entity_id"]) for row in await world.audit()][-1] == (
        "model_price.deleted", first["id"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"inputUsd": -1}, "inputUsd"),
        ({"outputUsd": 1e9}, "outputUsd"),
        ({"cachedInputUsd": -0.1}, "cachedInputUsd"),
        ({"model": ""}, "model"),
        ({"model": "x" * 300}, "model"),
    ],
)
async def test_a_bad_price_names_its_field(world: World, changes: dict[str, Any], field: str) -> None:
    given = {"model": "own", "inputUsd": 1, "outputUsd": 1} | changes
    answer = await world.graphql(world.admin, SET, {"input": given})
    assert list(answer["errors"][0]["extensions"]["fields"]) == [field]


async def test_prices_are_bounded_and_a_manager_reads_them_only(world: World, monkeypatch: Any) -> None:
    refused = await world.graphql(world.manager, SET, {"input": {"model": "own", "inputUsd": 1, "outputUsd": 1}})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    await put(world, "own", 1, 1)
    monkeypatch.setattr("resolvers.resources.costs.prices.MOST_PRICES", 1)
    await put(world, "own", 2, 2)
    refused = await world.graphql(world.admin, SET, {"input": {"model": "more", "inputUsd": 1, "outputUsd": 1}})
    assert refused["errors"][0]["extensions"]["code"] == "CONFLICT"


# ---- what is priced by it --------------------------------------------------------------------------------------------


async def test_an_unknown_model_has_a_price_from_then_on(world: World, model: Vendor) -> None:
    """The model's address is not the vendor's own: nothing is known of it."""
    await key(world)
    model.says(*[Says(("---\nname: x\ndescription: y\n---\ntext",), usage=(1000, 2000, 0))] * 2)
    assert await generate(world, "one") == 201
    assert [call["cost_micros"] for call in await calls(world)] == [None]
    before = (await world.graphql(world.manager, UNPRICED))["data"]["costBreakdown"]
    assert before == {"total": {"costUsd": 0}, "unpriced": [{"model": MODEL, "calls": 1, "priced": False}]}
    await put(world, MODEL, 3, 15)
    assert await generate(world, "two") == 201
    assert [call["cost_micros"] for call in await calls(world)] == [None, 33_000], "what was booked stays"
    after = (await world.graphql(world.manager, UNPRICED))["data"]["costBreakdown"]
    assert after == {"total": {"costUsd": 0.033}, "unpriced": [{"model": MODEL, "calls": 1, "priced": True}]}


async def test_a_budget_refuses_a_call_by_the_new_price(world: World, model: Vendor) -> None:
    """As much is set aside as the answer may cost: 4,096 tokens."""
    await key(world)
    limit = await budget(world, 0.05)
    model.says(*[Says(("---\nname: x\ndescription: y\n---\ntext",), usage=(1000, 2000, 0))] * 2)
    await put(world, MODEL, 0, 10)
    assert await generate(world, "three") == 201
    assert (await shown(world, limit))["spent_usd"] == 0.02
    assert await generate(world, "four") == 502
    assert len(model.asked) == 1, "no model was asked"
    await put(world, MODEL, 0, 1)
    assert await generate(world, "five") == 201


@pytest.mark.parametrize("price", [None, 1_000_000])
async def test_a_run_ends_at_its_budget_by_the_new_price(world: World, price: float | None) -> None:
    """Each call costs half a dollar, once it has a price; the run may use a dollar."""
    if price is not None:
        await put(world, "m-1", 0, 50_000)
    async with vendor("openai") as server:
        uses = [Says(calls=(Call.of(f"c{number}", "lookup", q=str(number)),), usage=(10, 10, 0)) for number in range(5)]
        server.says(*uses, Says(("done",), usage=(10, 10, 0)))
        work = job("What is it?", provider=LlmProvider.OPENAI, model="m-1", max_cost=1_000_000)
        work, journal = replace(work, workspace_id=world.workspace.id), Journal()
        made = await adapter(server, work, Lookup())
        outcome = await made.run(work, journal.attempt())
        asked = len(server.asked)
    if price is None:
        assert (asked, outcome.error) == (6, None)
        assert {charge.cost_micros for charge in journal.charges.values()} == {None}
    else:
        assert asked == 2
        assert "budget" in (outcome.error or "")
        assert [charge.cost_micros for charge in journal.charges.values()] == [500_000, 500_000]


# ---- faults ----------------------------------------------------------------------------------------------------------


async def test_where_the_prices_cannot_be_read_the_last_ones_hold(world: World, monkeypatch: Any) -> None:
    await put(world, "own", 1, 1)
    used = Used(1_000_000, 0)
    assert await own_cost(world.workspace.id, "own", used) == 1

    async def fails(workspace_id: str) -> Any:
        raise asyncpg.ConnectionDoesNotExistError

    real = pricing._read
    monkeypatch.setattr(pricing, "_read", fails)
    bus.ring(Topic.settings)
    assert await own_cost(world.workspace.id, "own", used) == 1
    monkeypatch.setattr(pricing, "_read", real)
    await world.database.execute("UPDATE model_prices SET input_micros = 2000000")
    assert await own_cost(world.workspace.id, "own", used) == 2, "as soon as they can be read"


async def test_a_price_that_is_set_while_the_prices_are_read_is_not_missed(world: World, monkeypatch: Any) -> None:
    await put(world, "own", 1, 1)
    real, reads = pricing._read, 0

    async def slow(workspace_id: str) -> Any:
        nonlocal reads
        reads += 1
        found = await real(workspace_id)
        if reads == 1:
            await put(world, "own", 5, 5)
        return found

    monkeypatch.setattr(pricing, "_read", slow)
    bus.ring(Topic.settings)
    await own_cost(world.workspace.id, "own", Used(1_000_000, 0))
    assert await own_cost(world.workspace.id, "own", Used(1_000_000, 0)) == 5


async def test_prices_are_read_once_in_a_while_and_few_workspaces_are_kept(world: World, monkeypatch: Any) -> None:
    reads = []

    async def counted(workspace_id: str) -> Any:
        reads.append(workspace_id)
        return {}

    monkeypatch.setattr(pricing, "_read", counted)
    monkeypatch.setattr(pricing, "MOST_WORKSPACES", 3)
    own = pricing._OwnPrices()
    for _ in range(50):
        await own.of("w0")
    assert reads == ["w0"], "nothing is read again for calls that follow each other"
    own.forget("model_prices/w1")
    await own.of("w0")
    assert reads == ["w0"], "of another workspace"
    own.forget("model_prices/w0")
    await own.of("w0")
    assert reads == ["w0", "w0"]
    for number in range(10):
        await own.of(f"w{number}")
    assert len(own._known) == 3


@pytest.mark.slow
async def test_what_is_set_at_one_process_holds_in_the_other(database: Database, tmp_path: Path) -> None:
    """With a ring at once; without one within seconds. Each process prices calls of its own."""
    async with contextlib.AsyncExitStack() as stack:
        made = await stack.enter_async_context(vendor("anthropic"))
        made.says(*[Says(("---\nname: x\ndescription: y\n---\ntext",), usage=(1000, 0, 0))] * 40)
        given = {
            "DATABASE_URL": database.url,
            "CREWSHIP_MIGRATION_DATABASE_URL": database.owner_url,
            "CREWSHIP_ROLE": "api",
            "CREWSHIP_RATELIMIT_API": "100000",
            "ANTHROPIC_BASE_URL": made.address,
        }
        data = tmp_path / "data"
        clients = []
        for name in ("one", "two"):
            socket = {"CREWSHIP_SOCKET_PATH": str(data / "run" / f"{name}.sock")}
            enter = serving(env=environment(data, **given, **socket))
            served = await asyncio.to_thread(enter.__enter__)
            stack.push_async_callback(asyncio.to_thread, enter.__exit__, None, None, None)
            url = f"http://127.0.0.1:{served.port}"
            clients.append(
                await stack.enter_async_context(httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30))
            )
        here, there = clients
        body = {"email": "a@example.com", "full_name": "Ada", "password": "correct horse"}
        first = (await here.post("/api/v1/bootstrap", json=body)).json()
        for client in clients:
            client.headers["authorization"] = f"Bearer {first['cli_token']}"
            client.headers["x-workspace-id"] = first["workspace_id"]
        secret = {"name": "k", "type": "API_KEY", "provider": "ANTHROPIC", "value": "sk-ant-api03-secret"}
        assert (await here.post("/api/v1/credentials", json=secret)).status_code == 201
        conn = await asyncpg.connect(database.owner_url, server_settings={"crewship.workspaces": "*"})
        stack.push_async_callback(conn.close)
        number = 0

        async def booked() -> int | None:
            nonlocal number
            number += 1
            path = f"/api/v1/workspaces/{first['workspace_id']}/skills/generate"
            answer = await there.post(path, json={"slug": f"s-{number}", "prompt": "x"})
            assert answer.status_code == 201, answer.text
            cost = await conn.fetchval("SELECT cost_micros FROM model_calls ORDER BY created_at DESC LIMIT 1")
            return cost  # type: ignore[no-any-return]

        assert await booked() is None
        document = {"query": SET, "variables": {"input": {"model": MODEL, "inputUsd": 4, "outputUsd": 1}}}
        answer = (await here.post("/graphql", json=document)).json()
        assert "errors" not in answer, answer
        async with asyncio.timeout(10):
            while await booked() != 4_000:
                await asyncio.sleep(0.1)
        await conn.execute("UPDATE model_prices SET input_micros = 7000000")  # nobody rings
        async with asyncio.timeout(10):
            while await booked() != 7_000:
                await asyncio.sleep(0.2)
