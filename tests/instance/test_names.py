"""Names that nobody answers hold up whoever asks for them, and nobody else."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from resolvers.errors import Code, Refusal
from resolvers.instance import names
from resolvers.instance.names import MOST_WAITING, SHARE, InWorkspace, Lane, asker
from resolvers.instance.outbound import Policy
from resolvers.instance.running import instance
from tests.kernel.servers import answering, response
from tests.world import World

pytestmark = pytest.mark.anyio
CALM = 1.5  # seconds


class Resolver:
    """The system's, which never answers names under `.silent` until the test ends."""

    def __init__(self, real: Any) -> None:
        self.real, self.ended, self.asked = real, threading.Event(), list[str]()

    def __call__(self, host: Any, port: Any, *more: Any, **options: Any) -> Any:
        text = host.decode() if isinstance(host, bytes) else host
        self.asked.append(text)
        if text.endswith(".silent"):
            self.ended.wait(60)
            raise socket.gaierror("nothing")
        if text.endswith(".unknown"):
            raise socket.gaierror("nothing")
        return self.real("127.0.0.1" if text.endswith(".test") else host, port, *more, **options)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    made = Resolver(socket.getaddrinfo)
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.ended.set()


async def looked_up(lane: Lane, host: str, workspace: str = "", user: str = "") -> Any:
    asker.set(InWorkspace(workspace, user))
    try:
        return await lane.look_up(host, 80)
    except Refusal as refusal:
        return refusal.code


async def test_a_crowd_of_one_leaves_threads_to_others(resolver: Resolver) -> None:
    lane = Lane("test-crowd", 2 * SHARE)
    crowd = [asyncio.create_task(looked_up(lane, f"{n}.silent", "w1", "u1")) for n in range(30)]
    same = [asyncio.create_task(looked_up(lane, f"{n}.silent", "w1", f"u{n}")) for n in range(30)]
    await asyncio.sleep(0.1)
    assert len(resolver.asked) == SHARE
    assert [_gauge(name, "test-crowd") for name in ("waiting", "under_way")] == [60 - SHARE, SHARE]
    begun = time.monotonic()
    assert (await asyncio.create_task(looked_up(lane, "other.test", "w2", "u2")))[0][4] == ("127.0.0.1", 80)
    assert time.monotonic() - begun < CALM
    resolver.ended.set()
    await asyncio.gather(*crowd, *same)
    await asyncio.sleep(0.1)
    assert [_gauge(name, "test-crowd") for name in ("waiting", "under_way")] == [0, 0]


def _gauge(name: str, lane: str) -> float | None:
    return REGISTRY.get_sample_value(f"crewship_name_lookups_{name}", {"lane": lane})


@pytest.mark.slow
async def test_those_who_wait_are_bounded_and_have_a_deadline(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "PATIENCE", 0.5)
    lane = Lane("test-bounds", 100)
    begun = time.monotonic()
    many = [asyncio.create_task(looked_up(lane, f"{n}.silent", "w")) for n in range(SHARE + MOST_WAITING + 10)]
    codes = await asyncio.gather(*many)
    assert time.monotonic() - begun < 0.5 + CALM
    assert codes.count(Code.RATE_LIMITED) == 10
    assert codes.count(Code.BAD_GATEWAY) == SHARE + MOST_WAITING
    assert len(resolver.asked) == SHARE, "who has given up is looked up no more"


async def test_a_failure_is_kept_for_seconds(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "FAILED_FOR", 0.3)
    lane = Lane("test-failures", 4)
    for _ in range(5):
        assert await looked_up(lane, "a.unknown") == []
    assert resolver.asked == ["a.unknown"]
    await asyncio.sleep(0.35)
    assert await looked_up(lane, "a.unknown") == []
    assert resolver.asked == ["a.unknown"] * 2
    assert await looked_up(lane, "localhost")  # as the system's own files say


async def test_a_flood_of_one_account_holds_nobody_else_up(
    world: World, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One account asks for the consent of servers whose names nobody answers; meanwhile another workspace and the
    operator's services are called.
    """
    flooding = [
        asyncio.create_task(
            world.rest(world.outsider, "POST", "/api/v1/oauth/discover", {"mcp_url": f"https://{n}.silent/mcp"})
        )
        for n in range(60)
    ]
    while len(resolver.asked) < SHARE:
        await asyncio.sleep(0.02)
    assert len(resolver.asked) == SHARE
    took = list[float]()
    async with answering(response(b"{}")) as server:
        for policy in (Policy.PRIVATE_TOO, Policy.CONFIGURED):
            for _ in range(5):
                begun = time.monotonic()
                asker.set(InWorkspace(world.workspace.id, world.owner.user_id))
                async with instance.http(policy, timeout=5, most=1000) as http:
                    assert (await http.get(server.url.replace("127.0.0.1", "service.test"))).status == 200
                took.append(time.monotonic() - begun)
    assert max(took) < CALM, took
    print("longest look-up and call beside the flood:", max(took))
    resolver.ended.set()
    answers = await asyncio.gather(*flooding)
    assert {answer.status_code for answer in answers} <= {404, 502, 429}
