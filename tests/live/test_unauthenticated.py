"""Sockets of callers who are not known yet: how many there may be, on both endpoints together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
import pytest
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from resolvers.errors import Code, Refusal
from resolvers.live import unauthenticated as bounds
from resolvers.live.unauthenticated import TOO_MANY, Unauthenticated, unauthenticated
from rest_compat.ws import endpoint
from schema.live import transport_ws
from tests.live.graphql import email_of, socket, talking
from tests.live.outlets import until
from tests.live.sockets import address, client_of, opened, ticket
from tests.world import World

pytestmark = pytest.mark.anyio
GRAPHQL = {"subprotocols": ["graphql-transport-ws"]}


def graphql(world: World) -> str:
    return world.url.replace("http", "ws", 1) + "/graphql"


async def refused(url: str, **options: list[str]) -> Response:
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(url, proxy=None, **options):  # type: ignore[arg-type]
            pass
    return refusal.value.response


def shown() -> float | None:
    return REGISTRY.get_sample_value("crewship_unauthenticated_sockets")


@contextlib.asynccontextmanager
async def strangers(world: World, number: int) -> AsyncIterator[None]:
    """That many sockets of each endpoint, all silent."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(number):
            await stack.enter_async_context(opened(address(world)))
            await stack.enter_async_context(socket(world))
        yield
    await until(lambda: len(unauthenticated) == 0)


# ---- the count -------------------------------------------------------------------------------------------------------


def full(places: Unauthenticated, client: str) -> bool:
    try:
        places.enter(client)()
    except Refusal as refusal:
        return (refusal.code, refusal.detail) == (Code.RATE_LIMITED, TOO_MANY)
    return False


def test_the_bounds() -> None:
    assert (bounds.MOST, bounds.MOST_OF_CLIENT) == (500, 50)


def test_a_client_takes_its_own_places_and_gives_each_back_once() -> None:
    places = Unauthenticated()
    leaves = [places.enter("192.0.2.1") for _ in range(bounds.MOST_OF_CLIENT)]
    assert full(places, "192.0.2.1")
    assert full(places, "::ffff:192.0.2.1")
    assert not full(places, "192.0.2.2")
    leaves[0]()
    leaves[0]()
    assert len(places) == bounds.MOST_OF_CLIENT - 1
    places.enter("192.0.2.1")
    assert full(places, "192.0.2.1")


def test_neighbours_in_one_network_of_ipv6_are_one_client() -> None:
    places = Unauthenticated()
    for number in range(bounds.MOST_OF_CLIENT):
        places.enter(f"2001:db8:0:1::{number:x}")
    assert full(places, "2001:db8:0:1:ffff::1")
    assert not full(places, "2001:db8:0:2::1")


def test_all_clients_together_take_no_more_than_the_process_has() -> None:
    places = Unauthenticated()
    leaves = [places.enter(f"192.0.2.{number % 100}") for number in range(bounds.MOST)]
    assert full(places, "198.51.100.1")
    for leave in leaves:
        leave()
    assert (len(places), places._clients) == (0, {})
    assert not full(places, "198.51.100.1")


# ---- the endpoints ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", ["MOST", "MOST_OF_CLIENT"])
async def test_one_too_many_is_refused_before_the_upgrade(
    world: World, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(bounds, bound, 4)
    async with strangers(world, 2):
        assert (len(unauthenticated), shown()) == (4, 4.0)
        rest, other = await refused(address(world)), await refused(graphql(world), **GRAPHQL)
        for answer in (rest, other):
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert (rest.headers["content-type"], rest.body) == ("text/plain; charset=utf-8", TOO_MANY.encode())
        assert other.headers["content-type"] == "application/json; charset=utf-8"
        assert orjson.loads(other.body or b"") == {
            "errors": [{"message": TOO_MANY, "extensions": {"code": "RATE_LIMITED"}}]
        }
        assert len(unauthenticated) == 4
        async with client_of(world, world.viewer) as known:  # by its address
            await known.settle()
            assert len(unauthenticated) == 4
        assert (await refused(address(world, "junk"))).status_code == 401
    async with strangers(world, 1):
        assert len(unauthenticated) == 2


async def test_whoever_is_known_makes_room_and_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_OF_CLIENT", 1)
    async with opened(address(world)) as client:
        assert (await refused(graphql(world), **GRAPHQL)).status_code == 429
        await client.say("auth", token=await ticket(world, world.viewer))
        await client.settle()
        assert len(unauthenticated) == 0
        async with talking(world, world.owner) as talk:
            assert len(unauthenticated) == 0
            async with socket(world):
                assert (await refused(address(world))).status_code == 429
                await client.settle()
                assert await email_of(talk) == world.owner.email
    await until(lambda: len(unauthenticated) == 0)


async def test_whoever_is_sent_away_makes_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_OF_CLIENT", 1)
    for first in ('{"type":"auth","token":"junk"}', '{"type":"ping"}', "x" * 70_000):
        async with opened(address(world)) as client:
            await client.connection.send(first)
            await client.until(lambda client=client: client.closed)
        await until(lambda: len(unauthenticated) == 0)
    for init in ({"type": "connection_init", "payload": {"token": "junk"}}, {"type": "subscribe"}):
        async with socket(world) as talk:
            await talk.say(init)
            assert (await talk.closed())[0] in (4403, 4400)
        await until(lambda: len(unauthenticated) == 0)
    for module in (endpoint, transport_ws):
        monkeypatch.setattr(module, "INTRODUCTION", 0.1)
    async with opened(address(world)) as client:
        await client.until(lambda: client.closed)
    await until(lambda: len(unauthenticated) == 0)
    async with socket(world) as talk:
        assert (await talk.closed())[0] == 4408
    await until(lambda: len(unauthenticated) == 0)


async def test_many_who_introduce_themselves_at_once_are_let_in(world: World) -> None:
    async def introduced() -> str:
        async with talking(world, world.viewer) as talk:
            return await email_of(talk)

    assert await asyncio.gather(*[introduced() for _ in range(20)]) == [world.viewer.email] * 20
    await until(lambda: len(unauthenticated) == 0)
