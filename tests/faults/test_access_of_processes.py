"""Rights that end in one process are asked for in all others before anything later is shown, without a wake-up."""

import asyncio
import contextlib
import itertools
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.people.workspaces import Membership, Role
from tests.conftest import Database
from tests.faults.servers import KEYS, addresses
from tests.live.graphql import CREWS, own, talking
from tests.live.sockets import client_of
from tests.people.auth.browsers import Browser, signed_in
from tests.process.commands import environment, serving
from tests.world import Person, World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LISTENERS, REMOVED, TOKENS, SESSIONS = 60, 16, 6, 6
ALWAYS_CHECKING = (
    "from resolvers.live import connection; connection.EVERY = 0.01; from crewship.cli.main import main; main()"
)
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


@dataclass
class Listener:
    """The numbers of the events that somebody was shown, and whether they were told that it is over."""

    person: Person | Browser
    shown: list[int] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, name: str) -> None:
        self.shown.append(int(name))
        self.ready.set()

    async def on_ws(self, at: World) -> None:
        async with client_of(at, self.person) as client:
            await client.subscribe(own(at))
            read = 0
            while not (client.closed or client.of("error", "session_revoked")):
                await asyncio.sleep(0.005)
                created = client.of("crew.created")
                for frame in created[read:]:
                    self.show(frame["payload"]["name"])
                read = len(created)
            for frame in client.of("crew.created")[read:]:
                self.show(frame["payload"]["name"])
        self.over.set()

    async def on_graphql(self, at: World) -> None:
        assert isinstance(self.person, Person)
        async with talking(at, self.person) as talk:
            await talk.subscribe("1", CREWS, ws=at.workspace.id)
            with contextlib.suppress(Exception):
                while (message := await talk.hear())["type"] == "next" and message["payload"].get("data"):
                    self.show(message["payload"]["data"]["workspaceEvents"]["name"])
        self.over.set()


@contextlib.contextmanager
def processes(database: Database, directory: Path, world: World, redis: str | None) -> Iterator[list[World]]:
    """The world as two other processes serve it, which look at everybody's rights without a pause."""
    shared = KEYS | addresses(database) | ({"CREWSHIP_REDIS_URL": redis} if redis else {})
    with contextlib.ExitStack() as stack:
        made = []
        for number in range(2):
            served = stack.enter_context(
                serving(
                    env=environment(directory / str(number), **shared), command=[sys.executable, "-c", ALWAYS_CHECKING]
                )
            )
            made.append(replace(world, url=f"http://127.0.0.1:{served.port}"))
        yield made


@contextlib.asynccontextmanager
async def writing(sides: list[World], numbers: "itertools.count[int]") -> AsyncIterator[None]:
    """Crews are made without a pause, by both processes: a number is taken before its request is sent."""

    async def write(at: World) -> None:
        async with at.client(at.owner) as client:
            while True:
                number = next(numbers)
                body = {"name": f"{number:06}", "slug": f"s-{number}"}
                answer = await client.post("/api/v1/crews", params={"workspace_id": at.workspace.id}, json=body)
                assert answer.status_code == 201, answer.text

    tasks = [asyncio.create_task(write(at)) for at in (*sides, *sides)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError), ended


async def member(world: World, name: str) -> Person:
    made = await world.person(name, None)
    membership = Membership(workspace_id=world.workspace.id, user_id=made.user_id, role=Role.VIEWER)
    await world.add(membership)
    return replace(made, membership_id=membership.id)


async def end_membership(at: World, person: Person) -> httpx2.Response:
    return await at.rest(
        at.owner, "DELETE", f"/api/v1/workspaces/{at.workspace.id}/members/{person.membership_id}", workspace=None
    )


async def end_token(at: World, person: Person) -> httpx2.Response:
    [token] = (await at.rest(person, "GET", "/api/v1/auth/cli-tokens", workspace=None)).json()["data"]
    return await at.rest(person, "DELETE", f"/api/v1/auth/cli-tokens/{token['id']}", workspace=None)


async def end_session(at: World, browser: Browser) -> httpx2.Response:
    return await replace(browser, url=at.url).send("POST", "/api/auth/signout", headers={"origin": at.url})


async def browser_of_a_member(at: World) -> Browser:
    browser, user = await signed_in(at)
    await at.add(Membership(workspace_id=at.workspace.id, user_id=user.id, role=Role.VIEWER))
    return browser


End = Callable[[World, Any], Awaitable[httpx2.Response]]


@pytest.mark.parametrize("redis", [None, NOBODY_LISTENS], ids=["postgres", "redis is away"])
async def test_what_began_later_is_shown_by_no_process(
    database: Database, tmp_path: Path, anyio_backend: str, redis: str | None
) -> None:
    chance, numbers = random.Random(), itertools.count()
    async with world_on(database, tmp_path) as world:
        with processes(database, tmp_path, world, redis) as sides:
            people = [await member(world, f"m{n}") for n in range(LISTENERS)]
            browsers = [await browser_of_a_member(sides[n % 2]) for n in range(SESSIONS)]
            listeners = [Listener(person) for person in (*people, *browsers)]
            async with writing(sides, numbers), asyncio.TaskGroup() as tasks:
                listening = [
                    tasks.create_task((there.on_graphql if n % 4 < 2 and n < LISTENERS else there.on_ws)(sides[n % 2]))
                    for n, there in enumerate(listeners)
                ]
                async with asyncio.timeout(60):
                    await asyncio.gather(*[there.ready.wait() for there in listeners])
                chosen = chance.sample(listeners[:LISTENERS], REMOVED + TOKENS)
                endings: list[tuple[End, Listener]] = [(end_membership, there) for there in chosen[:REMOVED]] + [
                    (end_token, there) for there in chosen[REMOVED:]
                ]
                endings += [(end_session, there) for there in listeners[LISTENERS:]]
                chance.shuffle(endings)
                late, slowest = await _end(endings, sides, numbers, chance)
                for task in listening:
                    task.cancel()
            print(
                f"{len(endings)} rights ended, {sum(len(there.shown) for there in listeners)} events shown,"
                f" late {late}, told after at most {slowest:.2f} s"
            )
            assert late == {}


async def _end(
    endings: list[tuple[End, Listener]], sides: list[World], numbers: "itertools.count[int]", chance: random.Random
) -> tuple[dict[str, list[int]], float]:
    """What each was shown that began after the answer to the end of their right, and the longest time until told."""
    late, slowest = dict[str, list[int]](), 0.0
    for end, there in endings:
        await asyncio.sleep(chance.uniform(0, 0.3))
        answer = await end(chance.choice(sides), there.person)
        assert answer.status_code in (200, 204), (end, answer.text)
        began_later, answered = next(numbers), asyncio.get_running_loop().time()
        async with asyncio.timeout(30):
            await there.over.wait()
        slowest = max(slowest, asyncio.get_running_loop().time() - answered)
        if seen := [number for number in there.shown if number > began_later]:
            late[f"{len(late)}: {end}"] = seen
    return late, slowest
