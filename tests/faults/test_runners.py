"""A real runner on loopback: a run's command is executed there, and nothing of it is lost or doubled when it, or the
worker, is killed.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from models.resources.credentials import AgentCredential, Credential, CredentialType
from models.staff.agents import Agent, LlmProvider, ToolProfile
from models.staff.chats import Chat
from models.staff.crews import Crew
from tests.conftest import Database
from tests.faults.servers import PATIENCE, Server, servers
from tests.live.graphql import talking
from tests.process.commands import ROOT, environment
from tests.runtime.adapters.vendors import Call, Says, Vendor, vendor
from tests.sealing import sealed_before
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FRAMES = "subscription($chat: ID!) { chatEvents(chatId: $chat) { ... on ChatFrame { type content metadata } } }"
SEND = 'mutation($chat: ID!) { sendMessage(input: {chatId: $chat, content: "go"}) { runId } }'
REGISTER = (
    'mutation($ws: ID!, $crew: ID!) { registerRunner(workspaceId: $ws, input: {name: "Workshop", crewId: $crew})'
    " { id token } }"
)
OPEN, CLOSED = "OPEN-canary-5Vq8", "CLOSED-canary-2Lx7"


@dataclass
class Ground:
    world: World
    worker: Server
    model: Vendor
    folder: Path
    chat: Chat
    agent: Agent
    token: str
    runner_id: str
    frames: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.contextmanager
    def runner(self, name: str = "runner", *, token: str = "") -> Iterator[subprocess.Popen[str]]:
        """A process of its own group, with the folder of the runner."""
        env = environment(self.folder / name, CREWSHIP_SERVER=self.world.url, CREWSHIP_RUNNER_TOKEN=token or self.token)
        command = [sys.executable, "-m", "crewship", "runner", "start", "--folder", str(self.folder / name)]
        log = (self.folder / f"{name}.log").open("a")
        with subprocess.Popen(command, env=env, cwd=ROOT, stderr=log, text=True, start_new_session=True) as process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
                process.wait()
                log.close()

    def plays(self, command: str) -> None:
        def play(asked: dict[str, Any]) -> Says:
            if any(message["role"] == "tool" for message in asked["messages"]):
                return Says(text=("The end.",))
            return Says(calls=(Call.of("t1", "run_command", command=command),))

        self.model.plays = play

    async def ask(self) -> str:
        answer = await self.world.graphql(self.world.owner, SEND, {"chat": self.chat.id})
        return str(answer["data"]["sendMessage"]["runId"])

    async def ended(self, run_id: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE + 60):
            while True:
                row = await self.world.database.fetchrow("SELECT * FROM runs WHERE id = $1", run_id)
                if row["status"] != "RUNNING":
                    return dict(row)
                await asyncio.sleep(0.1)

    async def connected(self) -> None:
        async with asyncio.timeout(PATIENCE):
            sql = "SELECT connected_until > now() FROM runners WHERE id = $1"
            while not await self.world.database.fetchval(sql, self.runner_id):
                await asyncio.sleep(0.1)

    def made(self, name: str, of: str = "runner") -> Path | None:
        return next((self.folder / of).rglob(name), None)

    async def appears(self, name: str) -> Path:
        async with asyncio.timeout(PATIENCE):
            while (found := self.made(name)) is None or not found.stat().st_size:
                await asyncio.sleep(0.05)
        return found

    async def listen(self) -> None:
        async with talking(self.world, self.world.owner) as talk:
            await talk.subscribe("1", FRAMES, chat=self.chat.id)
            while True:
                with contextlib.suppress(TimeoutError):
                    self.frames.append((await talk.next("1"))["chatEvents"])

    def shown(self) -> str:
        return "".join(
            frame["content"]
            for frame in self.frames
            if frame.get("type") == "system" and (frame.get("metadata") or {}).get("subtype") == "tool_output"
        )


@contextlib.asynccontextmanager
async def ground_on(database: Database, directory: Path) -> AsyncIterator[Ground]:
    async with vendor("openai") as model, world_on(database, directory / "api") as world:
        to_model = {"OPENAI_API_KEY": "sk-of-tests", "OPENAI_BASE_URL": model.base_url}
        given = {"CREWSHIP_RUN_ADAPTER": "native", **to_model}
        async with servers(database, directory / "servers", world, 1, **given) as [worker]:
            crew = Crew(workspace_id=world.workspace.id, name="Yard", slug="yard")
            agent = Agent(
                workspace_id=world.workspace.id,
                crew_id=crew.id,
                name="Hand",
                slug="hand",
                llm_provider=LlmProvider.OPENAI,
                llm_model="gpt-4o-mini",
                tool_profile=ToolProfile.CODING,
            )
            chat = Chat(workspace_id=world.workspace.id, agent_id=agent.id, created_by=world.owner.user_id)
            await world.add(crew, agent, chat)
            for name, value, allowed in (("OPEN_KEY", OPEN, True), ("CLOSED_KEY", CLOSED, False)):
                await _give(world, agent, name, value, allowed=allowed)
            made = await world.graphql(world.owner, REGISTER, {"crew": crew.id})
            registered = made["data"]["registerRunner"]
            ground = Ground(world, worker, model, directory, chat, agent, registered["token"], registered["id"])
            listening = asyncio.create_task(ground.listen())
            try:
                yield ground
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)


async def _give(world: World, agent: Agent, name: str, value: str, *, allowed: bool) -> None:
    place = world.workspace.id
    held = Credential(workspace_id=place, name=name, type=CredentialType.GENERIC_SECRET, on_runners=allowed)
    held.__dict__["value"] = sealed_before(value, table=Credential, column="value", row_id=held.id)
    tie = AgentCredential(workspace_id=place, agent_id=agent.id, credential_id=held.id, env_var_name=name)
    await world.add(held, tie)


async def test_a_command_runs_on_the_runner_and_is_shown_meanwhile(
    database: Database, tmp_path: Path, anyio_backend: str
) -> None:
    async with ground_on(database, tmp_path) as ground:
        ground.plays('echo first; echo "open $OPEN_KEY"; env > seen; sleep 6; echo second')
        with ground.runner():
            await ground.connected()
            run_id = await ground.ask()
            async with asyncio.timeout(PATIENCE):
                while "first" not in ground.shown():
                    await asyncio.sleep(0.05)
            status = await ground.world.database.fetchval("SELECT status FROM runs WHERE id = $1", run_id)
            assert status == "RUNNING", "the output is shown while the command runs"
            run = await ground.ended(run_id)
        assert (run["status"], run["error_message"]) == ("COMPLETED", None)
        seen = (await ground.appears("seen")).read_text()
        assert OPEN in seen
        assert CLOSED not in seen
        assert ground.made("seen", of="servers") is None, "it ran on the server"
        told = str(ground.frames)
        assert OPEN not in told
        assert "[REDACTED:credential]" in ground.shown()
        assert await ground.world.database.fetchval("SELECT count(*) FROM runner_calls") == 0
        result = ground.model.asked[-1]["messages"][-1]["content"]
        assert "second" in result
        assert OPEN not in result
        async with asyncio.timeout(PATIENCE):
            while not any(frame.get("type") == "done" for frame in ground.frames):
                await asyncio.sleep(0.05)


async def test_a_killed_worker_loses_nothing(database: Database, tmp_path: Path, anyio_backend: str) -> None:
    async with ground_on(database, tmp_path) as ground:
        ground.plays("echo begun >> effects; echo shown; sleep 12; echo over")
        with ground.runner():
            await ground.connected()
            run_id = await ground.ask()
            effects = await ground.appears("effects")
            await ground.worker.kill()
            run = await ground.ended(run_id)
        assert (run["status"], run["error_message"]) == ("COMPLETED", None)
        assert run["lease"] > 1, "another worker took it over"
        assert effects.read_text() == "begun\n"
        assert ground.shown().count("shown") == 1


async def test_a_killed_runner_fails_the_run_and_repeats_nothing(
    database: Database, tmp_path: Path, anyio_backend: str
) -> None:
    async with ground_on(database, tmp_path) as ground:
        ground.plays("echo begun >> effects; sleep 300")
        with ground.runner() as runner:
            await ground.connected()
            run_id = await ground.ask()
            effects = await ground.appears("effects")
            runner.kill()
            runner.wait()
            with ground.runner():
                run = await ground.ended(run_id)
        assert run["status"] == "FAILED"
        assert "stopped answering" in run["error_message"]
        assert effects.read_text() == "begun\n"
        assert not _commands("sleep 300"), "a command outlived its runner"


async def test_a_revoked_runner_ends_its_commands(database: Database, tmp_path: Path, anyio_backend: str) -> None:
    async with ground_on(database, tmp_path) as ground:
        ground.plays("echo begun >> effects; sleep 299")
        with ground.runner() as runner:
            await ground.connected()
            run_id = await ground.ask()
            await ground.appears("effects")
            path = f"/api/v1/runners/{ground.runner_id}"
            assert (await ground.world.rest(ground.world.owner, "DELETE", path)).status_code == 200
            run = await ground.ended(run_id)
            assert await asyncio.to_thread(runner.wait, PATIENCE) == 1
        assert run["status"] == "FAILED"
        assert "revoked" in run["error_message"]
        assert not _commands("sleep 299")


def _commands(line: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            said = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if said == line:
                found.append(process.name)
    return found
