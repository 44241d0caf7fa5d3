"""kill -9 of workers that run coding agents, and of these: no run is stuck, no effect doubled, no process left.

With CODING_AGENTS, as of `scripts/coding-agents`, the real Claude Code is killed, too.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crewship.process.postgres import APPLICATION
from models.staff.agents import CliAdapter
from models.staff.runs import Run
from resolvers.staff.runs import work
from runtime.engine.dbos_tables import prepare_engine
from tests.faults.workers import Workers
from tests.runtime.adapters.vendors import Call, Says, vendor
from tests.runtime.coding.conftest import doubles_in
from tests.runtime.estate import Estate, estate_on
from tests.runtime.sandbox.machine import host_allows, programs, why_not  # noqa: F401

pytestmark = pytest.mark.anyio
ROUNDS, AT_ONCE, WORKERS = 4, 4, 2
TIMING = {"lease": 5.0, "extend": 1.0, "poll": 0.05}
OF_CLI = "Claude Code ended "
OF_SANDBOX = "The sandbox for commands could not be started"
STATE = "SELECT status, worker, lease, leased_until - now() AS left, error_message FROM runs ORDER BY created_at DESC"
REAL = os.environ.get("CODING_AGENTS")


def play(asked: dict[str, Any]) -> Says:
    """As far as the conversation has come: a command that leaves a line, or the end."""
    told = json.dumps(asked["messages"])
    mark = re.search(r"RUN-[0-9a-f]{12}", told)
    if mark is None:
        return Says(text=("A title",))
    n = told.count('"tool_result"')
    if n >= ROUNDS:
        return Says(text=("The end.",), pause=0.01)
    command = f"echo {mark[0]} {n} >> /output/effects; sleep 0.2"
    call = Call.of(f"t{n}", "Bash", command=command, description="leave a line")
    return Says(text=(f"Round {n}. ", "Go on. "), calls=(call,), pause=0.01)


def said(rounds: int) -> str:
    return "".join(f"Round {n}. Go on. " for n in range(rounds)) + "The end."


@dataclass
class Ground:
    estate: Estate
    workers: Workers
    model: str
    """A name that stands in the command lines of all its coding agents, and of nothing else."""
    runs: list[tuple[str, Run]] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)

    async def ask(self) -> None:
        agent = await self.estate.agent(cli_adapter=CliAdapter.CLAUDE_CODE, llm_model=self.model)
        mark = f"RUN-{secrets.token_hex(6)}"
        self.runs.append((mark, await self.estate.ask(f"{mark}: go", await self.estate.chat(agent))))

    async def live(self) -> int:
        count: int = await self.estate.owner.fetchval("SELECT count(*) FROM runs WHERE status = 'RUNNING'")
        return count

    async def holders(self, pids: list[int]) -> list[int]:
        rows = await self.estate.owner.fetch(
            "SELECT worker FROM runs WHERE status = 'RUNNING' AND leased_until > now() AND worker IS NOT NULL"
        )
        return [pid for pid in pids if any(f"-{pid}-" in row[0] for row in rows)]

    async def busy(self) -> None:
        """Until a coding agent runs; there are always runs to be worked on."""
        deadline = time.monotonic() + 180
        while not self.processes():
            while await self.live() < AT_ONCE:
                await self.ask()
            if time.monotonic() > deadline:
                pytest.fail(f"stuck: {[dict(row) for row in await self.estate.owner.fetch(STATE)]}")
            await asyncio.sleep(0.2)  # to look at all processes of a machine takes a while

    def processes(self) -> list[int]:
        """Of all sandboxes with coding agents, from their helper to the coding agent."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if self.model.encode() in line and int(process.name) != os.getpid():
                found.append(int(process.name))
        return found

    def effects(self) -> Counter[tuple[str, int]]:
        counted = Counter[tuple[str, int]]()
        for file in self.estate.settings.storage_path.rglob("output/effects"):
            counted.update((mark, int(n)) for mark, n in (line.split() for line in file.read_text().splitlines()))
        return counted

    async def judge(self) -> Counter[str]:
        """How many ended how."""
        effects, ends = self.effects(), Counter[str]()
        assert max(effects.values(), default=1) == 1, "an effect was doubled"
        for mark, asked in self.runs:
            run = await self.estate.run(asked.id)
            answer = await self.estate.answer(str(run.chat_id))  # also: no gap and no double in the numbers
            texts = "".join(event["content"] for event in answer if event["type"] == "text")
            assert [event["type"] for event in answer].count("done") == 1
            assert said(ROUNDS).startswith(texts), "something was lost or doubled in what was shown"
            done = {n for n in range(ROUNDS) if effects[mark, n]}
            assert done == set(range(len(done))), "a round was left out"
            error = run.error_message or ""
            if run.status == "COMPLETED":
                assert (done, texts) == (set(range(ROUNDS)), said(ROUNDS))
            elif run.status == "FAILED":
                assert error.startswith((OF_CLI, OF_SANDBOX)), error
            else:
                assert (run.status, error) == ("CANCELLED", "server_restart")
            ends[run.status] += 1
        await self._nothing_is_left()
        return ends

    async def _nothing_is_left(self) -> None:
        owner = self.estate.owner
        async with asyncio.timeout(10):
            while self.processes():
                await asyncio.sleep(0.1)
        assert await work.stranded(seconds=0) == 0
        assert {row[0] for row in await owner.fetch("SELECT DISTINCT status FROM agents")} <= {"IDLE", "ERROR"}
        twice = await owner.fetch("SELECT run_id, step FROM model_calls GROUP BY 1, 2 HAVING count(*) > 1")
        assert twice == []


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.slow)], ids=["doubles", "real"])
async def ground(
    request: pytest.FixtureRequest,
    database: Any,
    tmp_path: Path,
    why_not: str,  # noqa: F811
    anyio_backend: str,
) -> AsyncIterator[Ground]:
    real = request.param
    if why_not:
        pytest.skip(why_not)
    if real and REAL is None:
        pytest.skip("CLAUDE CODE WAS NOT KILLED: scripts/coding-agents FOLDER, and CODING_AGENTS=FOLDER")
    folder = Path(REAL) if real and REAL else doubles_in(tmp_path / "coding-agents")
    await prepare_engine(database.owner_url, APPLICATION)
    async with vendor("anthropic") as server, estate_on(database, tmp_path) as estate:
        server.plays = play
        workers = Workers(
            module="tests.faults.coding", url=database.url, directory=str(tmp_path), folder=str(folder),
            model=server.url, doubles=not real, slots=AT_ONCE, timing=TIMING,
        )  # fmt: skip
        try:
            yield Ground(estate, workers, f"claude-{secrets.token_hex(6)}")
        finally:
            workers.close()


async def kill(ground: Ground, kills: int, chance: random.Random) -> None:
    """Workers that hold runs, and processes of their sandboxes, at random moments; new runs come all the while."""
    pids = [ground.workers.start() for _ in range(WORKERS)]
    while sum(ground.killed.values()) < kills:
        await ground.busy()
        await asyncio.sleep(chance.uniform(0, 1.2))
        holders, found = await ground.holders(pids), ground.processes()
        if not holders or not found:
            continue
        if chance.random() < 0.4:
            _end(chance.choice(found))
            ground.killed["process of a sandbox"] += 1
            continue
        victim = chance.choice(holders)
        ground.workers.kill(victim)
        ground.killed["worker"] += 1
        pids[pids.index(victim)] = ground.workers.start()


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.kill(pid, signal.SIGKILL)


def _kills(real: bool, many: bool) -> int:
    return (20 if real else 200) if many else 4


@pytest.mark.slow
@pytest.mark.parametrize("many", [False, True], ids=["some", "many"])
async def test_kill_of_coding_agents(ground: Ground, many: bool, request: pytest.FixtureRequest) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    real = "real" in request.node.callspec.id
    await kill(ground, _kills(real, many), random.Random(seed))
    await ground.ask()  # whatever came before
    async with asyncio.timeout(120):
        while await ground.live():
            await asyncio.sleep(0.1)
    effects = sum(ground.effects().values())
    print(f"{dict(ground.killed)} killed, {len(ground.runs)} runs, {effects} effects")
    ends = await ground.judge()
    print(f"ends: {dict(ends)}")
    assert ends["COMPLETED"] > 0
