"""Two releases on one database, under load: the later one migrates and joins, takes over, and gives way again.

Clients notice nothing: each request is answered with success, each run ends once, and no process logs an error.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.conftest import Database
from tests.faults.releases import Releases, script, with_one_that_follows, with_the_one_before
from tests.faults.servers import KEYS, addresses
from tests.process.commands import CREWSHIP, PATIENCE, Served, environment, serving
from tests.process.ships import OWNER

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

EFFECTS = "effects"
REQUESTS, RUNS = 60, 4  # of each phase, at least
MIGRATE = [*CREWSHIP, "migrate"]
SEND = "mutation($chat: ID!, $content: String!) { sendMessage(input: {chatId: $chat, content: $content}) { runId } }"
READ = "query($run: ID!, $workspace: ID!) { run(id: $run, workspaceId: $workspace) { status } }"
LIST = "query($workspace: ID!) { crews(workspaceId: $workspace, first: 20) { nodes { id agents { totalCount } } } }"


@dataclass
class Load:
    """Clients that write and read without pause, each request at one of the servers that a balancer would name."""

    token: str
    workspace: str
    ports: list[int]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    names: "itertools.count[int]" = field(default_factory=itertools.count)
    answered: int = 0
    longest: float = 0.0
    under_way: Counter[int] = field(default_factory=Counter)
    created: list[str] = field(default_factory=list)
    descriptions: dict[str, tuple[str, int]] = field(default_factory=dict)  # the last one of a crew, and their number
    runs: dict[str, str] = field(default_factory=dict)  # the ended ones, and what they were asked for

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"authorization": f"Bearer {self.token}", "connection": "close"}
        async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE, trust_env=False) as http:
            yield http

    async def ask(self, http: httpx2.AsyncClient, method: str, path: str, body: Any = None, **headers: str) -> Any:
        port = self.ports[next(self.names) % len(self.ports)]
        self.under_way[port] += 1
        began = time.monotonic()
        try:
            answer = await http.request(
                method, f"http://127.0.0.1:{port}{path}", json=body, headers=headers,
                params={"workspace_id": self.workspace},
            )  # fmt: skip
        finally:
            self.under_way[port] -= 1
        self.longest = max(self.longest, time.monotonic() - began)
        assert answer.is_success, (method, path, answer.status_code, answer.text)
        assert b'"errors"' not in answer.content, (path, answer.text)
        self.answered += 1
        return answer

    async def graph(self, http: httpx2.AsyncClient, query: str, **values: str) -> Any:
        return (await self.ask(http, "POST", "/graphql", {"query": query, "variables": values})).json()["data"]

    async def create(self, http: httpx2.AsyncClient) -> None:
        name = f"c-{next(self.names)}"
        await self.ask(http, "POST", "/api/v1/crews", {"name": name, "slug": name})
        self.created.append(name)

    async def change(self, http: httpx2.AsyncClient, crew_id: str) -> None:
        """What another request changed meanwhile would be refused."""
        path, (_, number) = f"/api/v1/crews/{crew_id}", self.descriptions.get(crew_id, ("", 0))
        tag = (await self.ask(http, "GET", path)).headers["etag"]
        text = f"u-{next(self.names)}"
        await self.ask(http, "PATCH", path, {"description": text}, **{"if-match": tag})
        self.descriptions[crew_id] = (text, number + 1)

    async def send(self, http: httpx2.AsyncClient, chat: str) -> None:
        name = f"m-{next(self.names)}"
        sent = await self.graph(http, SEND, chat=chat, content=script(name, EFFECTS))
        run_id = sent["sendMessage"]["runId"]
        async with asyncio.timeout(PATIENCE):
            while (await self.graph(http, READ, run=run_id, workspace=self.workspace))["run"]["status"] == "RUNNING":
                await asyncio.sleep(0.05)
        self.runs[run_id] = name

    async def read(self, http: httpx2.AsyncClient) -> None:
        for path in ("/api/v1/crews", "/api/v1/agents", "/api/v1/chats", "/readyz"):
            await self.ask(http, "GET", path)
        await self.graph(http, LIST, workspace=self.workspace)

    async def go_on(self, act: Callable[..., Any], *values: str) -> None:
        async with self.client() as http:
            while not self.stop.is_set():
                await act(http, *values)
                await asyncio.sleep(0.02)

    async def phase(self) -> None:
        """Until enough has happened on the servers there are."""
        requests, runs = self.answered + REQUESTS, len(self.runs) + RUNS
        async with asyncio.timeout(2 * PATIENCE):
            while self.answered < requests or len(self.runs) < runs:
                await asyncio.sleep(0.02)

    async def join(self, port: int) -> None:
        """The balancer names a server that is ready, and that has answered a first query: then it knows its schema."""
        async with self.client() as http:
            document = {"query": LIST, "variables": {"workspace": self.workspace}}
            for method, path, body in (("GET", "/readyz", None), ("POST", "/graphql", document)):
                answer = await http.request(method, f"http://127.0.0.1:{port}{path}", json=body, timeout=3 * PATIENCE)
                assert answer.is_success, answer.text
        self.ports.append(port)

    async def leave(self, port: int) -> None:
        """The balancer names a server no more; what it was asked is answered."""
        self.ports.remove(port)
        async with asyncio.timeout(PATIENCE):
            while self.under_way[port]:
                await asyncio.sleep(0.01)


class Fleet:
    def __init__(self, database: Database, directory: Path) -> None:
        shared = KEYS | addresses(database) | {"CREWSHIP_LOG_LEVEL": "error"}
        self._settings = shared | {"CREWSHIP_RUN_ADAPTER": "scripted", "CREWSHIP_SCRIPT_DIR": str(directory)}
        self._directory, self._number = directory, itertools.count()
        self._running: dict[int, tuple[Served, contextlib.ExitStack]] = {}

    def environment(self, tree: Path) -> dict[str, str]:
        """What a process is started with; the tree comes before the sources that are installed here."""
        place = self._directory / f"process-{next(self._number)}"
        return environment(place, **self._settings) | {"PYTHONPATH": str(tree)}

    async def start(self, tree: Path) -> int:
        stack = contextlib.ExitStack()
        served = await asyncio.to_thread(stack.enter_context, serving(env=self.environment(tree)))
        self._running[served.port] = (served, stack)
        return served.port

    async def end(self, port: int) -> None:
        served, stack = self._running.pop(port)
        assert await asyncio.to_thread(served.end) == 0
        said = served.logged()
        stack.close()
        assert said == "", said

    async def close(self) -> None:
        for _, stack in self._running.values():
            await asyncio.to_thread(stack.close)

    async def command(self, tree: Path, *command: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *command, env=self.environment(tree), cwd="/", stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await asyncio.wait_for(process.communicate(), 3 * PATIENCE)
        assert process.returncode is not None
        return process.returncode, said.decode()


async def first_day(port: int) -> tuple[Load, list[str], list[str]]:
    """An owner, crews to change, and chats."""
    load = Load("", "", [port])
    async with httpx2.AsyncClient(trust_env=False, timeout=PATIENCE) as http:
        load.token = (await http.post(f"http://127.0.0.1:{port}/api/v1/bootstrap", json=OWNER)).json()["cli_token"]
    async with load.client() as http:
        load.workspace = (await load.ask(http, "GET", "/api/v1/workspaces")).json()[0]["id"]
        crews, chats = list[str](), list[str]()
        for n in range(2):
            crew = await load.ask(http, "POST", "/api/v1/crews", {"name": f"Crew {n}", "slug": f"crew-{n}"})
            crews.append(crew.json()["id"])
            agent = {"name": f"Agent {n}", "slug": f"agent-{n}", "crew_id": crews[-1]}
            made = (await load.ask(http, "POST", "/api/v1/agents", agent)).json()
            chat = await load.ask(http, "POST", f"/api/v1/agents/{made['id']}/chats", {})
            chats.append(chat.json()["id"])
    return load, crews, chats


async def judge(load: Load, database: Database, directory: Path) -> None:
    """What was acknowledged is there, once."""
    owner = await asyncpg.connect(database.owner_url, server_settings={"crewship.workspaces": "*"})
    try:
        crews = {row["id"]: row for row in await owner.fetch("SELECT id, slug, description, version FROM crews")}
        assert Counter(row["slug"] for row in crews.values()) == Counter([*load.created, "crew-0", "crew-1"])
        for id, (text, number) in load.descriptions.items():
            assert (crews[id]["description"], crews[id]["version"]) == (text, number + 1)
        runs = {row["id"]: row["status"] for row in await owner.fetch("SELECT id, status FROM runs")}
        assert runs == dict.fromkeys(load.runs, "COMPLETED")
        effects = Counter((directory / EFFECTS).read_text().split())
        assert effects == Counter(list(load.runs.values()))
        answers = await owner.fetch("SELECT content FROM messages WHERE role = 'assistant'")
        assert Counter(row["content"] for row in answers) == Counter(f"{name} ends" for name in load.runs.values())
        ended = await owner.fetch("SELECT payload FROM events WHERE type = 'run.completed'")
        assert len(ended) == len(load.runs)
    finally:
        await owner.close()


async def roll(releases: Releases, fleet: Fleet, load: Load) -> None:
    """Over to the later release and back. No request takes longer than a client's patience."""

    async def step(name: str) -> None:
        await load.phase()
        print(f"{name}: {load.answered} requests, {len(load.runs)} runs; the longest request {load.longest:.2f} s")
        load.longest = 0.0

    [first] = load.ports
    await load.join(second := await fleet.start(releases.before))
    await step("before")
    code, said = await fleet.command(releases.after, *MIGRATE)
    assert code == 0, said
    await step("migrated")
    await load.join(third := await fleet.start(releases.after))
    await step("both")
    for port in (first, second):
        await load.leave(port)
        await fleet.end(port)
    await step("after")
    if not releases.goes_back:
        code, said = await fleet.command(releases.before, *CREWSHIP, "serve")
        assert code == 1
        assert "start Crewship 9.0.0 or newer" in said
        return
    await load.join(await fleet.start(releases.before))
    await step("both again")
    await load.leave(third)
    await fleet.end(third)
    await step("back")


@pytest.mark.parametrize("pair", [with_one_that_follows, with_the_one_before])
async def test_two_releases_serve_side_by_side(
    pair: Callable[[Path], Releases], empty_database: Database, tmp_path: Path
) -> None:
    releases = pair(tmp_path)
    fleet = Fleet(empty_database, tmp_path)
    try:
        load, crews, chats = await first_day(await fleet.start(releases.before))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.go_on(load.create))
            tasks.create_task(load.go_on(load.read))
            for crew, chat in zip(crews, chats, strict=True):
                tasks.create_task(load.go_on(load.change, crew))
                tasks.create_task(load.go_on(load.send, chat))
            await roll(releases, fleet, load)
            load.stop.set()
        for port in list(load.ports):
            await fleet.end(port)
        await judge(load, empty_database, tmp_path)
    finally:
        await fleet.close()
