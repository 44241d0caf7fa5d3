"""kill -9 of processes that serve: clients repeat what has had no answer, with its key, and listeners go on at the
other one. All of it happens once.
"""

import asyncio
import contextlib
import itertools
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.staff.chats import Chat
from models.staff.crews import Crew
from tests.conftest import Database
from tests.faults.followers import Follower, GraphFollower, SocketFollower
from tests.faults.servers import HERE, PATIENCE, Place, Server, servers
from tests.live.conversations import new_chat
from tests.live.graphql import own
from tests.world import World, connect_for_all, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CREATORS, UPDATERS, SENDERS = 3, 2, 2
KILLS = 40  # kills, after which everything that can go wrong will have had its chance
REPEATS = 100  # for each kill, of all that was asked for
EFFECTS = "effects"
SEND = (
    "mutation($chat: ID!, $content: String!) {"
    " sendMessage(input: {chatId: $chat, content: $content}) { runId messageId fromSeq seq } }"
)


def script(name: str) -> str:
    """What the agent is asked for: it says something, does something that can be counted, and says something more."""
    steps = [
        {"text": [f"{name} ", "begins "], "delay": 0.05},
        {"append": {"file": EFFECTS, "line": name}, "hold": 0.05},
        {"text": ["and ", "ends"], "delay": 0.05},
    ]
    return json.dumps({"script": steps})


def spoken(name: str) -> str:
    return f"{name} begins and ends"


@dataclass(frozen=True)
class Request:
    key: str
    method: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Clients:
    """They write without pause until `stop`, each request to a server of its choice, and get an answer to each."""

    world: World
    sides: list[Server]
    chance: random.Random
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    names: "itertools.count[int]" = field(default_factory=itertools.count)
    answered: dict[str, tuple[Request, httpx2.Response]] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    updated: dict[str, list[str]] = field(default_factory=dict)  # crew -> its descriptions
    runs: dict[str, str] = field(default_factory=dict)  # run -> the name of what it was asked
    lost: int = 0  # requests that had been sent when their server died
    refused: int = 0  # those that nobody took
    replayed: int = 0  # answers that had been given before, to nobody

    def begin(self, tasks: asyncio.TaskGroup, crews: list[Crew], chats: list[Chat]) -> list[asyncio.Task[None]]:
        writers = (
            [self._create() for _ in range(CREATORS)]
            + [self._update(crew.id) for crew in crews]
            + [self._send(chat.id) for chat in chats]
        )
        return [tasks.create_task(writer) for writer in writers]

    async def ask(self, http: httpx2.AsyncClient, request: Request) -> httpx2.Response:
        """Until there is an answer: the next try goes to the other server."""
        sides = itertools.cycle(self.chance.sample(self.sides, len(self.sides)))
        async with asyncio.timeout(PATIENCE):
            while (answer := await self.sent(http, next(sides), request)) is None:
                await asyncio.sleep(0.01)
        assert answer.is_success, (request, answer.text)
        assert b'"errors"' not in answer.content, (request, answer.text)
        self.answered[request.key] = (request, answer)
        self.replayed += "idempotent-replayed" in answer.headers
        return answer

    async def sent(self, http: httpx2.AsyncClient, side: Server, request: Request) -> httpx2.Response | None:
        """One try. None: there is no answer. A server that lives and does not answer in time is an error."""
        headers = {"idempotency-key": request.key, **request.headers}
        query = {"workspace_id": self.world.workspace.id}
        side.under_way += 1
        try:
            return await http.request(
                request.method, side.world.url + request.path, params=query, json=request.body, headers=headers
            )
        except httpx2.TimeoutException:
            raise
        except httpx2.ConnectError:
            self.refused += 1
        except httpx2.TransportError:
            self.lost += 1
        finally:
            side.under_way -= 1
        return None

    async def _create(self) -> None:
        async with self.world.client(self.world.owner) as http:
            while not self.stop.is_set():
                name = f"c-{next(self.names)}"
                await self.ask(http, Request(name, "POST", "/api/v1/crews", {"name": name, "slug": name}))
                self.created.append(name)

    async def _update(self, crew_id: str) -> None:
        """Each change is of what the answer before it showed: one made twice, or by nobody, would be refused."""
        async with self.world.client(self.world.owner) as http:
            path, done = f"/api/v1/crews/{crew_id}", self.updated.setdefault(crew_id, [])
            tag = (await http.get(path, params={"workspace_id": self.world.workspace.id})).headers["etag"]
            while not self.stop.is_set():
                name = f"u-{next(self.names)}"
                answer = await self.ask(http, Request(name, "PATCH", path, {"description": name}, {"if-match": tag}))
                tag = answer.headers["etag"]
                done.append(name)

    async def _send(self, chat_id: str) -> None:
        """The next message is sent when the last one's run has ended."""
        async with self.world.client(self.world.owner) as http, database_of(self.world) as database:
            while not self.stop.is_set():
                name = f"m-{next(self.names)}"
                values = {"chat": chat_id, "content": script(name)}
                answer = await self.ask(http, Request(name, "POST", "/graphql", {"query": SEND, "variables": values}))
                run_id = answer.json()["data"]["sendMessage"]["runId"]
                self.runs[run_id] = name
                async with asyncio.timeout(PATIENCE):
                    while await database.fetchval("SELECT status = 'RUNNING' FROM runs WHERE id = $1", run_id):
                        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def database_of(world: World) -> AsyncIterator[Any]:
    """Another connection like the world's, which one task at a time can use."""
    assert world.settings.database_url is not None
    database = await connect_for_all(world.settings.database_url.get_secret_value())
    try:
        yield database
    finally:
        await database.close()


@dataclass
class Judge:
    """What is stored is what was asked for, once, and what was seen is what is stored, once and in order."""

    world: World
    clients: Clients
    crews: list[Crew]
    chats: list[Chat]

    async def of_crews(self) -> None:
        clients, rows = (
            self.clients,
            await self.world.database.fetch("SELECT id, slug, description, version FROM crews"),
        )
        assert Counter(row["slug"] for row in rows) == Counter([*clients.created, *(crew.slug for crew in self.crews)])
        shown = {row["id"]: (row["description"], row["version"]) for row in rows}
        assert {id: shown[id] for id in clients.updated} == {
            id: (done[-1], len(done) + 1) for id, done in clients.updated.items()
        }

    async def of_records(self) -> None:
        """Audit rows, events and keys: as many of each name as there were requests of it, and no others."""
        clients, slugs = self.clients, {crew.id: crew.slug for crew in self.crews}
        created = Counter({("crew.created", name): 1 for name in clients.created})
        changed = Counter({("crew.updated", slugs[id]): len(done) for id, done in clients.updated.items()})
        rows = await self.world.audit()
        crews = [row for row in rows if row["action"].startswith("crew.")]
        audited = [(row["action"], row["data"].get("slug") or slugs[row["entity_id"]]) for row in crews]
        assert Counter(audited) == created + changed
        others = Counter((row["action"], row["entity_id"]) for row in rows if row not in crews)
        assert others
        assert {entry: number for entry, number in others.items() if number > 1} == {}
        events = [(row["type"], row["payload"]) for row in await self.world.events()]
        assert (
            Counter((type, payload["slug"]) for type, payload in events if type.startswith("crew."))
            == created + changed
        )
        begun = [payload["run_id"] for type, payload in events if type == "run.started"]
        ended = [payload["run_id"] for type, payload in events if type in ("run.completed", "run.failed")]
        assert Counter(begun) == Counter(ended) == Counter(list(clients.runs))
        keys = await self.world.database.fetch("SELECT key FROM idempotency_keys")
        assert Counter(row["key"] for row in keys) == Counter(list(clients.answered))

    async def of_runs(self, effects: Path) -> Counter[str]:
        """Returns how many ended how."""
        done, ends = Counter(effects.read_text().split() if effects.exists() else []), Counter[str]()
        assert max(done.values(), default=1) == 1, "an effect was doubled"
        runs = await self.world.database.fetch("SELECT * FROM runs ORDER BY chat_id, message_seq")
        assert Counter(run["id"] for run in runs) == Counter(list(self.clients.runs))
        for run in runs:
            ends[run["error_message"] or run["status"]] += 1
            await self._of_run(run, self.clients.runs[run["id"]], done)
        for chat in self.chats:
            await self._of_chat(chat, [run for run in runs if run["chat_id"] == chat.id])
        assert set(done) <= set(self.clients.runs.values())
        assert {row[0] for row in await self.world.database.fetch("SELECT status FROM agents")} == {"IDLE"}
        return ends

    async def _of_run(self, run: Any, name: str, done: Counter[str]) -> None:
        rows = await self.world.database.fetch(
            "SELECT type, payload FROM run_frames WHERE run_id = $1 ORDER BY seq", run["id"]
        )
        kinds = [row["payload"]["type"] if row["type"] == "chat_event" else row["type"] for row in rows]
        said = "".join(row["payload"]["content"] for row in rows if row["payload"].get("type") == "text")
        assert kinds[:2] == ["run_begin", "user_message"]
        assert (kinds.count("run_begin"), kinds.count("user_message"), kinds.count("done"), kinds[-1]) == (
            1,
            1,
            1,
            "done",
        )
        assert spoken(name).startswith(said), "something was lost or doubled in what was shown"
        if run["status"] == "COMPLETED":
            assert (done[name], said, kinds.count("result")) == (1, spoken(name), 1)
        else:
            assert (run["status"], run["error_message"]) == ("CANCELLED", "server_restart")

    async def _of_chat(self, chat: Chat, runs: list[Any]) -> None:
        """A message and its answer, and the next one, numbered as its counters say."""
        fetch = self.world.database.fetch
        expected = list[tuple[str, str]]()
        for run in runs:
            name = self.clients.runs[run["id"]]
            answer = (
                ("assistant", spoken(name)) if run["status"] == "COMPLETED" else ("system", f"msg_recovery_{run['id']}")
            )
            expected += [("user", script(name)), answer]
        rows = await fetch("SELECT id, seq, role, content FROM messages WHERE chat_id = $1 ORDER BY seq", chat.id)
        assert [(row["role"], row["id"] if row["role"] == "system" else row["content"]) for row in rows] == expected
        frames = [row[0] for row in await fetch("SELECT seq FROM run_frames WHERE chat_id = $1 ORDER BY seq", chat.id)]
        [counted] = await fetch("SELECT last_seq, last_message_seq FROM chats WHERE id = $1", chat.id)
        assert frames == list(range(1, counted["last_seq"] + 1))
        assert [row["seq"] for row in rows] == list(range(1, counted["last_message_seq"] + 1))

    async def of_followers(self, sockets: list[SocketFollower], graphs: list[GraphFollower]) -> None:
        events = await self.world.events()
        told = [(row["type"], row["payload"]) for row in events if row["channel"] == own(self.world)]
        named = [payload["name"] for type, payload in told if type == "crew.created"]
        assert Counter(named) == Counter(self.clients.created)
        for there in graphs:
            seen = there.seen[own(self.world)]
            assert [event["name"] for event in seen if event["__typename"] == "CrewCreatedEvent"] == named
            assert len(seen) == len(told)
        for follower in sockets:
            assert [(frame["type"], frame["payload"]) for frame in follower.seen[own(self.world)]] == told
            for chat in self.chats:
                rows = await self.world.database.fetch(
                    "SELECT seq, type, payload FROM run_frames WHERE chat_id = $1 ORDER BY seq", chat.id
                )
                seen = [frame for frame in follower.seen[f"session:{chat.id}"] if "seq" in frame]
                assert [(frame["seq"], frame["type"], frame["payload"]) for frame in seen] == [
                    tuple(row) for row in rows
                ]

    async def of_repeats(self, most: int) -> None:
        """Whatever was answered is answered again, in the same bytes, and nothing is written."""
        known = list(self.clients.answered.values())
        before = await self._written()
        async with self.world.client(self.world.owner) as http:
            for request, first in self.clients.chance.sample(known, min(len(known), most)):
                again = await self.clients.sent(http, self.clients.chance.choice(self.clients.sides), request)
                assert again is not None
                assert (again.status_code, again.content, again.headers.get("etag")) == (
                    first.status_code,
                    first.content,
                    first.headers.get("etag"),
                ), request
                assert again.headers["idempotent-replayed"] == "true"
        assert await self._written() == before

    async def _written(self) -> dict[str, str]:
        """What requests have written: the servers say all the while that they live, and their clocks seal rows and note
        facts.
        """
        tables = await self.world.snapshot()
        return {name: rows for name, rows in tables.items() if name not in ("audit_seals", "instance_facts", "workers")}


async def kill(clients: Clients, kills: int) -> None:
    """Each server as often as the other, at a random moment while it has requests under way; half of the time the other
    one may be just starting.
    """
    chance = clients.chance
    victims = (clients.sides * kills)[:kills]
    chance.shuffle(victims)
    for victim in victims:
        async with asyncio.timeout(PATIENCE):
            for side in clients.sides if chance.random() < 0.5 else [victim]:
                await side.ready()
            enough = len(clients.answered) + chance.randint(10, 60)
            while len(clients.answered) < enough:
                await asyncio.sleep(chance.uniform(0, 0.02))
            while not victim.under_way:
                await asyncio.sleep(0)
        await victim.kill()


async def caught_up(world: World, followers: list[Follower], chats: list[Chat]) -> None:
    """Until each has seen as much as there is; and a moment longer, for what would be too much."""
    of_workspace = await world.database.fetchval("SELECT count(*) FROM events WHERE channel = $1", own(world))
    frames = {
        f"session:{chat.id}": await world.database.fetchval("SELECT last_seq FROM chats WHERE id = $1", chat.id)
        for chat in chats
    }
    wanted = {own(world): of_workspace} | frames
    async with asyncio.timeout(PATIENCE):
        while any(len(seen) < wanted[channel] for there in followers for channel, seen in there.seen.items()):
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)


@dataclass
class Story:
    """What has happened, after it was found to be right."""

    clients: Clients
    ends: Counter[str]  # of runs
    cuts: int
    listeners: int

    def tell(self, kills: int) -> None:
        clients = self.clients
        print(
            f"{kills} kills, {len(clients.answered)} requests, {clients.lost} without an answer"
            f" ({clients.replayed} of them had been carried out), {clients.refused} refused;"
            f" runs {dict(self.ends)}; {self.cuts} cuts of {self.listeners} listeners"
        )


async def under_kills(
    database: Database, directory: Path, kills: int, places: Sequence[Place] = (HERE, HERE), **settings: str
) -> Story:
    """Clients write to the servers, and listen, while these are killed."""
    number = len(places)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    async with (
        world_on(database, directory) as world,
        servers(database, directory, world, places=places, **settings) as sides,
    ):
        crews = [Crew(workspace_id=world.workspace.id, name=f"Crew {n}", slug=f"crew-{n}") for n in range(UPDATERS)]
        await world.add(*crews)
        chats = [await new_chat(world) for _ in range(SENDERS)]
        channels = [own(world), *(f"session:{chat.id}" for chat in chats)]
        sockets = [SocketFollower(world.owner, *channels) for _ in sides]
        graphs = [GraphFollower(world.owner, own(world)) for _ in sides]
        clients = Clients(world, sides, random.Random(seed))
        followers: list[Follower] = [*sockets, *graphs]
        async with asyncio.TaskGroup() as tasks:
            listening = [
                tasks.create_task(there.follow(sides[n % number :] + sides[: n % number]))
                for n, there in enumerate(followers)
            ]
            async with asyncio.timeout(PATIENCE):
                while not all(there.began for there in followers):
                    await asyncio.sleep(0.01)
            writing = clients.begin(tasks, crews, chats)
            await kill(clients, kills)
            clients.stop.set()
            await asyncio.wait(writing)
            await caught_up(world, followers, chats)
            for task in listening:
                task.cancel()
        for side in sides:
            await side.ready()
        judge = Judge(world, clients, crews, chats)
        await judge.of_crews()
        await judge.of_records()
        ends = await judge.of_runs(directory / EFFECTS)
        await judge.of_followers(sockets, graphs)
        await judge.of_repeats(REPEATS * kills)
    return Story(clients, ends, sum(there.cuts for there in followers), len(followers))


async def test_kill_of_servers(database: Database, tmp_path: Path, anyio_backend: str) -> None:
    story = await under_kills(database, tmp_path, KILLS)
    story.tell(KILLS)
    clients, ends = story.clients, story.ends
    assert clients.lost > 0
    assert min(clients.replayed, ends["COMPLETED"], ends["server_restart"]) > 0, "what this is about has not happened"
