"""What one address, one site and one user may take of the service; and what never counts."""

import asyncio
import gzip
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from crewship.perimeter import pages
from crewship.perimeter.rate_limit import NEIGHBOURS, RateLimits
from resolvers.errors import Code, Refusal
from resolvers.instance.passwords import Cost, Passwords, Verification
from tests.live.graphql import socket, talking
from tests.live.sockets import address, client_of, opened, ticket
from tests.world import world_on

pytestmark = pytest.mark.anyio
SLOW = Cost(passes=8, memory=16384, lanes=1)


def taken(limits: RateLimits, path: str, clients: list[str]) -> int:
    return sum(limits.exceeded(path, client) is None for client in clients)


def test_a_site_of_many_subscribers_has_a_bucket_too() -> None:
    limits = RateLimits(auth=10, clock=lambda: 10**18)
    attackers = [f"2001:db8:1:{n:x}::{m}" for n in range(1000) for m in (1, 2)]
    assert taken(limits, "/api/auth/callback/credentials", attackers) == 10 * NEIGHBOURS
    assert taken(limits, "/api/auth/callback/credentials", ["2001:db8:2::1"] * 20) == 10
    assert taken(limits, "/api/auth/callback/credentials", [f"192.0.2.{n}" for n in range(200)]) == 200


def test_who_is_refused_alone_takes_nothing_from_its_neighbours() -> None:
    limits = RateLimits(auth=10, clock=lambda: 10**18)
    assert taken(limits, "/api/auth/session", ["2001:db8:1:1::1"] * 1000) == 10
    assert taken(limits, "/api/auth/session", [f"2001:db8:1:{n:x}::1" for n in range(2, 50)]) == 48


def test_pages_and_probes_count_apart_and_liveness_never() -> None:
    limits = RateLimits(api=5, pages=20, clock=lambda: 10**18)
    here = ["192.0.2.1"] * 100
    assert [
        taken(limits, path, here) for path in ("/static/vendor/scalar.js", "/readyz", "/healthz", "/metrics", "/ws")
    ] == [20, 20, 100, 100, 5]
    assert taken(limits, "/", here) == 0
    assert taken(limits, "/graphql", here) == 0


@pytest.mark.slow
async def test_the_queue_for_passwords_has_places_for_newcomers() -> None:
    """Sixty logins at once from one site; then one of somebody else, who gets in."""
    passwords = Passwords(SLOW, threads=1, queue=9)
    flood = [asyncio.ensure_future(passwords.verify("wrong horse", None, f"2001:db8:1:{n:x}::1")) for n in range(60)]
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(passwords.verify("wrong horse", None, f"192.0.2.{n}")) for n in range(5)]
    told = await asyncio.gather(*flood, *others, return_exceptions=True)
    refused = [isinstance(answer, Refusal) and answer.code is Code.RATE_LIMITED for answer in told]
    assert refused.count(False) == 10
    assert not any(refused[60:])
    for _ in range(20):  # every place was given back
        assert await passwords.verify("wrong horse", None, "2001:db8:1::1") == Verification(ok=False)
    passwords.close()


async def test_upgrades_count_as_requests(database: Any, tmp_path: Path) -> None:
    async with world_on(database, tmp_path, ratelimit_disabled=False, ratelimit_api=5) as world:
        token = await ticket(world, world.viewer)  # a request of the same bucket
        for _ in range(4):
            async with opened(address(world, token)):
                pass
        with pytest.raises(InvalidStatus) as refusal:
            async with connect(address(world, token), proxy=None):
                pass
    response = refusal.value.response
    assert (response.status_code, response.headers["x-ratelimit-limit"]) == (429, "5")


async def test_the_connections_of_a_user_are_capped_on_every_way_in(database: Any, tmp_path: Path) -> None:
    async with world_on(database, tmp_path, max_sockets=2) as world:
        async with client_of(world, world.viewer), talking(world, world.viewer):
            with pytest.raises(InvalidStatus) as refusal:
                async with connect(address(world, await ticket(world, world.viewer)), proxy=None):
                    pass
            assert refusal.value.response.status_code == 429
            async with opened(address(world)) as late:
                await late.say("auth", token=await ticket(world, world.viewer))
                assert "too many" in str((await late.hears("error"))["payload"])
            async with socket(world) as late_too:
                await late_too.say(
                    {"type": "connection_init", "payload": {"authorization": f"Bearer {world.viewer.token}"}}
                )
                assert (await late_too.closed())[0] == 1013
            async with world.client(world.viewer, accept="text/event-stream") as client:
                body = {"query": "subscription { workspaceEvents { __typename } }"}
                answer = await client.post("/graphql/stream", json=body, headers={"x-workspace-id": world.workspace.id})
                assert answer.status_code == 429, answer.text
            async with client_of(world, world.member):
                pass
        async with client_of(world, world.viewer):
            pass


async def test_an_asset_is_unpacked_once(monkeypatch: pytest.MonkeyPatch, database: Any, tmp_path: Path) -> None:
    real, unpacked = gzip.decompress, []

    def decompress(data: bytes) -> bytes:
        unpacked.append(len(data))
        time.sleep(0.05)  # long enough for all others to ask for the same
        return real(data)

    name = next(name for name, asset in pages.ASSETS.items() if asset.gzipped)
    pages.ASSETS[name].__dict__.pop("_plain", None)
    monkeypatch.setattr(gzip, "decompress", decompress)
    async with world_on(database, tmp_path) as world, world.client(None, **{"accept-encoding": "identity"}) as client:
        answers = await asyncio.gather(*[client.get(f"/static/{name}") for _ in range(20)])
    assert {(a.status_code, len(a.content)) for a in answers} == {(200, len(real(pages.ASSETS[name].stored)))}
    assert len(unpacked) == 1
