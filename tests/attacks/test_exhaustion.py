"""All there is to exhaust, from a VIEWER's terminal and from an agent's command, against a real service: it goes on
answering, and so does PostgreSQL; the command ends, or is refused more, and nothing else.

`make limits` writes what was seen to bench/limits.md.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import secrets
import sys
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from crewship.process.postgres import Connection
from models.base import new_id
from models.staff.agents import Agent, CliAdapter, LlmProvider
from models.staff.chats import Chat
from models.staff.crews import Crew
from runtime.sandbox import Limits
from runtime.sandbox.groups import Groups, NoGroups
from tests.attacks.exhausting import KINDS, Kind
from tests.conftest import Database, copied
from tests.every import each_of
from tests.faults.servers import servers
from tests.live.test_terminal import screen
from tests.postgres import TEMPLATE
from tests.runtime.adapters.vendors import Call, Says, vendor
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

MODES = {"groups": "true", "watched": "false"}
DOORS = {"terminal": "/tmp", "agent": "/output"}
SEND = "mutation($chat: ID!, $content: String!) { sendMessage(input: {chatId: $chat, content: $content}) { runId } }"
MOST = 2.0  # seconds without an answer, on a machine that may be busy with something else; the table has the figures
WATCHING = """
import asyncio, asyncpg, json, sys, time
port, dsn = int(sys.argv[1]), sys.argv[2]
seen = {"healthz": [], "postgres": []}
async def healthz():
    while True:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        seen["healthz"].append(time.monotonic() - began)
        await asyncio.sleep(0.02)
async def postgres():
    connection = await asyncpg.connect(dsn)
    while True:
        began = time.monotonic()
        await connection.fetchval("SELECT count(*) FROM pg_class")
        seen["postgres"].append(time.monotonic() - began)
        await asyncio.sleep(0.02)
async def main():
    loop = asyncio.get_running_loop()
    both = [asyncio.create_task(healthz()), asyncio.create_task(postgres())]
    print("there", flush=True)
    await asyncio.wait({loop.run_in_executor(None, sys.stdin.read), *both}, return_when=asyncio.FIRST_COMPLETED)
    for each in both:
        if each.done():
            each.result()
        each.cancel()
    await asyncio.gather(*both, return_exceptions=True)
    print(json.dumps(seen))
asyncio.run(main())
"""


@dataclass
class Seen:
    """Milliseconds: the 99th of a hundred, and the longest."""

    healthz: tuple[float, float]
    postgres: tuple[float, float]
    outcome: str = ""

    @classmethod
    def of(cls, text: str) -> "Seen":
        def both(times: list[float]) -> tuple[float, float]:
            ordered = sorted(times)
            return ordered[int(len(ordered) * 0.99)] * 1000, ordered[-1] * 1000

        found = json.loads(text)
        return cls(both(found["healthz"]), both(found["postgres"]))

    def row(self, *about: str) -> str:
        times = (f"{number:.0f}" for number in (*self.healthz, *self.postgres))
        return f"| {' | '.join((*about, self.outcome, *times))} |"


@dataclass
class Ground:
    world: World
    dsn: str
    programs: dict[str, str]
    rows: list[str]

    async def hire(self) -> None:
        """Somebody whose crew keeps nothing yet."""
        crew = Crew(workspace_id=self.world.workspace.id, name="C", slug=new_id())
        self.agent = Agent(
            workspace_id=crew.workspace_id, crew_id=crew.id, name="a", slug=new_id(), llm_model="m",
            llm_provider=LlmProvider.ANTHROPIC, cli_adapter=CliAdapter.CURSOR_CLI,
        )  # fmt: skip
        self.chat = Chat(workspace_id=crew.workspace_id, agent_id=self.agent.id)
        await self.world.add(crew, self.agent, self.chat)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[Seen]:
        port = self.world.url.rpartition(":")[2]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WATCHING, port, self.dsn,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
        )  # fmt: skip
        assert process.stdout is not None
        await process.stdout.readline()
        seen = Seen((0, 0), (0, 0))
        try:
            yield seen
        finally:
            said, _ = await process.communicate(b"")
        assert process.returncode == 0, "the service or PostgreSQL did not answer"
        found = Seen.of(said.decode())
        seen.healthz, seen.postgres = found.healthz, found.postgres

    async def through_terminal(self, source: str) -> str:
        packed = base64.b64encode(zlib.compress(source.encode(), 9)).decode()
        line = f"/usr/bin/python3 -c 'import zlib,base64;exec(zlib.decompress(base64.b64decode(\"{packed}\")))'"
        place = {"crew_id": self.agent.crew_id, "crew_slug": "c", "agent_slug": self.agent.slug, "rows": 24, "cols": 80}
        async with screen(self.world, self.world.viewer, **place) as shown, asyncio.timeout(90):
            await shown.socket.send(f"{line} >/dev/null; echo over-$((6*7))\n".encode())
            within, ended = 90.0, False
            while within > 0 and not ended:
                with contextlib.suppress(TimeoutError):
                    await shown.closed(0.05)
                    ended = True
                within = min(within - 0.05, 1.5) if b"over-42" in shown.shown else within
            return "closed" if ended else "went on"

    async def through_agent(self, source: str) -> str:
        mark = f"RUN-{secrets.token_hex(6)}"
        self.programs[mark] = source
        answer = await self.world.graphql(self.world.owner, SEND, {"chat": self.chat.id, "content": mark})
        run_id = answer["data"]["sendMessage"]["runId"]
        async with asyncio.timeout(90):
            while (await self.world.database.fetchval("SELECT status FROM runs WHERE id = $1", run_id)) not in (
                "COMPLETED",
                "FAILED",
                "CANCELLED",
            ):
                await asyncio.sleep(0.05)
        rows = await self.world.database.fetch("SELECT payload FROM run_frames WHERE run_id = $1 ORDER BY seq", run_id)
        results = [str(each["payload"]["content"]) for each in rows if each["payload"].get("type") == "tool_result"]
        assert results, [each["payload"] for each in rows]
        return results[0] if "exit code 0" not in results[0] and "more than" in results[0] else "went on"


def told(said: str) -> str:
    """What there was too much of."""
    names = {
        "closed": "the terminal",
        "of memory in total": "memory",
        "take more than": "files",
        "open files in total": "open files",
    }
    found = [name for text, name in names.items() if text in said]
    return f"ended: {found[0]}" if found else said[:60].replace("|", " ")


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def mode_database(postgres: Connection, mode: str) -> Iterator[Database]:
    """One for each mode: a world is made in it."""
    yield from copied(postgres, TEMPLATE)


@pytest.fixture(scope="module")
async def ground(
    mode: str, mode_database: Database, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Ground]:
    if mode == "groups":
        try:
            Groups.find(Limits()).close()
        except NoGroups as none:
            pytest.skip(f"NO CONTROL GROUPS, NOTHING IS PROVED: {none}")
    directory, programs = tmp_path_factory.mktemp("exhaustion"), dict[str, str]()

    def play(asked: dict[str, Any]) -> Says:
        text = json.dumps(asked["messages"])
        mark = re.findall(r"RUN-[0-9a-f]{12}", text)[-1]
        if f"call-{mark}" in text:
            return Says(text=("The end.",))
        packed = base64.b64encode(zlib.compress(programs[mark].encode(), 9)).decode()
        command = f"python3 -c 'import zlib,base64;exec(zlib.decompress(base64.b64decode(\"{packed}\")))'"
        return Says(calls=(Call.of(f"call-{mark}", "run_command", command=command, timeout_seconds=60),))

    async with vendor("anthropic") as model, world_on(mode_database, directory / "world") as world:
        model.plays = play
        settings = {
            "CREWSHIP_CONTROL_GROUPS": MODES[mode],
            "CREWSHIP_RUN_ADAPTER": "native",
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "sk-ant-of-a-test",
            "CREWSHIP_COMMAND_MEMORY_MB": "192",
            "CREWSHIP_CREW_STORAGE_MB": "64",
            "CREWSHIP_CREW_FILES": "3000",
        }
        async with servers(mode_database, directory / "data", world, 1, **settings) as [server]:
            made = Ground(server.world, mode_database.url, programs, [])
            async with made.watched() as seen:
                await asyncio.sleep(3)
            seen.outcome = "-"
            made.rows.append(seen.row("left alone", mode, "-"))
            yield made
        write(mode, made.rows)


def write(mode: str, rows: list[str]) -> None:
    if path := os.environ.get("CREWSHIP_LIMITS_TABLE"):
        with Path(path).open("a") as file:
            file.write("\n".join(rows) + "\n")


@each_of("door", DOORS)
@each_of("kind", KINDS, ids=lambda kind: kind.name)
async def test_the_command_ends_and_nothing_else(ground: Ground, mode: str, kind: Kind, door: str) -> None:
    # a VIEWER changes no files of the crew: what it can fill is memory
    source = kind.source.replace("HOME", "/tmp" if door == "terminal" else "/home/agent")
    await ground.hire()
    async with ground.watched() as seen:
        said = await (ground.through_terminal(source) if door == "terminal" else ground.through_agent(source))
    seen.outcome = "refused more" if said == "went on" else told(said)
    ground.rows.append(seen.row(kind.name, mode, door))
    print(ground.rows[-1])
    assert max(seen.healthz[1], seen.postgres[1]) < MOST * 1000
    if kind.ends and mode == "groups" and not (door == "terminal" and kind.name == "files"):
        assert seen.outcome.startswith("ended: "), said
    if not kind.ends:
        assert seen.outcome in ("refused more", "ended: memory", "ended: the terminal"), said
