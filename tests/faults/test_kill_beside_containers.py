"""kill -9 of a server whose agents work in containers: it is started again, takes over what it left by the rules of any
run, and finds its containers as they are, with nothing of what it had begun there.
"""

import asyncio
import contextlib
import json
import random
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent, CliAdapter, LlmProvider
from models.staff.chats import Chat
from models.staff.crews import Crew
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import AGENT, CREW
from tests.conftest import Database
from tests.containers.conftest import address, engine  # noqa: F401
from tests.containers.engines import IMAGE, why_not
from tests.faults.servers import Server, servers
from tests.runtime.adapters.vendors import Call, Says, vendor
from tests.runtime.coding.conftest import doubles_in
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]
ROUNDS, PATIENCE = 2, 90.0
MARKED = re.compile(r"RUN-[0-9a-f]{12}")
HOLDS = "4321"  # seconds that nothing waits for: how long what is to be killed would sleep
LINES = ["Starting the container", "The container is ready", "Starting the agent"]
TAKEN_OVER = ("CANCELLED", "server_restart")
SEND = "mutation($chat: ID!, $content: String!) { sendMessage(input: {chatId: $chat, content: $content}) { runId } }"


def play(asked: dict[str, Any]) -> Says:
    """A command that leaves a line and holds on, with another one behind it, and then one that only leaves a line."""
    told = json.dumps(asked["messages"])
    mark = MARKED.findall(told)[-1]
    n = len(set(re.findall(rf"{mark} did (\d)", told)))
    if n >= ROUNDS:
        return Says(text=("The end.",))
    line = f"echo {mark} {n} >>/output/effects"
    slow = f"sleep {HOLDS} & touch /output/{mark}.at-it; sleep 0.7; kill $!; " if n == 0 else ""
    call = Call.of(f"{mark}-{n}", "run_command", command=f"{line}; {slow}echo {mark} did {n}")
    return Says(text=(f"Round {n}. ",), calls=(call,))


@dataclass
class Ground:
    world: World
    server: Server
    engine: ContainerEngine
    crew: Crew
    agents: list[Agent]
    chats: list[Chat]
    runs: list[tuple[str, str]] = field(default_factory=list)
    """Of each: its mark and its id."""
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def output(self) -> Path:
        [found] = self.server.directory.rglob(f"crews/{self.crew.id}/output")
        return found

    async def ask(self, chat: Chat) -> str:
        mark = f"RUN-{secrets.token_hex(6)}"
        variables = {"chat": chat.id, "content": f"{mark}: go"}
        answer = await self.server.world.graphql(self.world.owner, SEND, variables)
        self.runs.append((mark, answer["data"]["sendMessage"]["runId"]))
        return mark

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while await self.world.database.fetchval("SELECT count(*) FROM runs WHERE status = 'RUNNING'"):
                await asyncio.sleep(0.05)

    async def status_lines(self) -> list[str]:
        """Of all chats, one after the other."""
        rows = await self.world.database.fetch("SELECT payload FROM run_frames ORDER BY chat_id, seq")
        return [each["payload"]["content"] for each in rows if each["payload"].get("type") == "status"]

    async def lacks_its_image(self) -> None:
        """A run whose container cannot be made fails and says why, to people and programs, before a model is asked."""
        crew = Crew(workspace_id=self.world.workspace.id, name="None", slug=new_id(), runtime_image="localhost/none:1")
        agent = Agent(workspace_id=crew.workspace_id, crew_id=crew.id, name="n", slug=new_id(), llm_model="m",
                      llm_provider=LlmProvider.ANTHROPIC, cli_adapter=CliAdapter.CURSOR_CLI)  # fmt: skip
        chat = Chat(workspace_id=crew.workspace_id, agent_id=agent.id)
        await self.world.add(crew, agent, chat)
        await self.ask(chat)
        _, run_id = self.runs.pop()
        await self.ended()
        rows = await self.world.database.fetch("SELECT payload FROM run_frames WHERE run_id = $1 ORDER BY seq", run_id)
        frames = [each["payload"] for each in rows]
        assert [each.get("type") for each in frames[1:]] == ["user_message", "status", "error", "error", "done"]
        assert frames[3]["content"] == "The image localhost/none:1 is not on the container engine"
        assert frames[3]["metadata"] == {"code": "image_missing"}
        await self.world.database.execute("DELETE FROM run_frames WHERE run_id = $1", run_id)

    async def containers(self) -> dict[str, str]:
        return {each["Labels"][AGENT]: each["Id"] for each in await self.engine.list({CREW: self.crew.id})}

    async def processes(self) -> list[str]:
        """Of all its containers, but those that hold them open."""
        found = list[str]()
        for container in (await self.containers()).values():
            said = b""
            async with self.engine.running(
                container, ["ps", "-o", "args"], user="0:0", workdir="/", environment={}
            ) as running:
                async for _, piece in running.pieces():
                    said += piece
            found += said.decode().splitlines()
        return found

    def effects(self) -> Counter[str]:
        file = self.output / "effects"
        return Counter(file.read_text().splitlines() if file.exists() else [])

    async def judge(self) -> None:
        """What ended how, and that all of it was done once at most."""
        effects = self.effects()
        assert max(effects.values(), default=1) == 1, "an effect was doubled"
        for mark, run_id in self.runs:
            row = await self.world.database.fetchrow("SELECT * FROM runs WHERE id = $1", run_id)
            frames = await self.world.database.fetch(
                "SELECT payload FROM run_frames WHERE run_id = $1 ORDER BY seq", run_id
            )
            kinds = Counter(each["payload"].get("type") for each in frames)
            assert kinds["done"] == 1
            done = {n for n in range(ROUNDS) if effects[f"{mark} {n}"]}
            if row["status"] == "COMPLETED":
                assert done == set(range(ROUNDS))
                assert kinds["tool_result"] == ROUNDS
            else:
                assert (row["status"], row["error_message"]) == TAKEN_OVER
            self.ends[row["status"]] += 1


@contextlib.asynccontextmanager
async def ground_on(database: Database, directory: Path, boxes: ContainerEngine) -> AsyncIterator[Ground]:
    """An agent of our own loop, and one of a coding agent, which our own loop does in a container."""
    async with vendor("anthropic") as model, world_on(database, directory / "world") as world:
        model.plays = play
        beside = {
            "CREWSHIP_CONTAINER_SOCKET": boxes.address.removeprefix("unix://"),
            "CREWSHIP_RUN_ADAPTER": "auto",
            "CREWSHIP_CODING_AGENTS": str(doubles_in(directory / "coding-agents")),
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "sk-ant-of-a-test",
        }
        crew = Crew(workspace_id=world.workspace.id, name="Boxed", slug=new_id(), runtime_image=IMAGE)
        known = {"workspace_id": world.workspace.id, "crew_id": crew.id, "llm_provider": LlmProvider.ANTHROPIC}
        agents = [
            Agent(**known, name=name, slug=name, llm_model="claude-sonnet-4-5", cli_adapter=adapter)
            for name, adapter in (("native", CliAdapter.CURSOR_CLI), ("coding", CliAdapter.CLAUDE_CODE))
        ]
        chats = [Chat(workspace_id=world.workspace.id, agent_id=agent.id) for agent in agents]
        await world.add(crew, *agents, *chats)
        async with servers(database, directory, world, 1, **beside) as [server]:
            yield Ground(world, server, boxes, crew, agents, chats)


@pytest.mark.parametrize("kills", [2, pytest.param(20, id="many")])
async def test_a_server_is_killed_while_its_agents_work_in_containers(
    database: Database,
    tmp_path: Path,
    engine: ContainerEngine,  # noqa: F811
    anyio_backend: str,
    kills: int,
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    async with ground_on(database, tmp_path, engine) as ground:
        await asyncio.gather(*map(ground.ask, ground.chats))
        await ground.ended()
        assert await ground.status_lines() == LINES * len(ground.chats), "of containers that did not run"
        known = await ground.containers()
        assert set(known) == {agent.id for agent in ground.agents}
        for _ in range(kills):
            marks = await asyncio.gather(*map(ground.ask, ground.chats))
            async with asyncio.timeout(PATIENCE):
                while not any((ground.output / f"{mark}.at-it").exists() for mark in marks):
                    await asyncio.sleep(0.01)
            await asyncio.sleep(chance.uniform(0, 1.0))
            await ground.server.kill()
            async with asyncio.timeout(30):  # and not by the server that is just starting: it ends by itself
                while any(HOLDS in each or "sleep 0.7" in each for each in await ground.processes()):
                    await asyncio.sleep(0.05)
            await ground.server.ready()
            await ground.ended()
            assert await ground.containers() == known, "the containers go on being used"
        await asyncio.gather(*map(ground.ask, ground.chats))  # whatever came before
        await ground.ended()
        await ground.judge()
        await ground.lacks_its_image()
        assert await ground.status_lines() == LINES * len(ground.chats), "and of none that did"
        assert await ground.containers() == known
        assert not any(HOLDS in each for each in await ground.processes())
        last = [
            await ground.world.database.fetchval("SELECT status FROM runs WHERE id = $1", run_id)
            for _, run_id in ground.runs[-len(ground.chats) :]
        ]
        assert last == ["COMPLETED"] * len(ground.chats)
    print(f"{kills} kills, {len(ground.runs)} runs, ends: {dict(ground.ends)}")
    assert ground.ends["CANCELLED"] > 0, "what this is about has not happened"
