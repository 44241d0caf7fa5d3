"""kill -9 of workers that run each of the four real coding agents: no run is stuck, no effect doubled, nothing is left.

With CODING_AGENTS, as of `scripts/coding-agents`.
"""

import asyncio
import os
import random
import secrets
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crewship.process.postgres import APPLICATION
from models.staff.agents import CliAdapter
from models.staff.runs import Run
from resolvers.staff.runs import work
from runtime.engine.dbos_tables import prepare_engine
from tests.faults.test_kill_of_coding_agents import TIMING
from tests.faults.workers import Workers
from tests.runtime.coding.test_real import KEY, REAL, USAGE, Real, mocked
from tests.runtime.estate import Estate, estate_on
from tests.runtime.sandbox.machine import host_allows, programs, why_not  # noqa: F401

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
FOLDER = os.environ.get("CODING_AGENTS", "")
KILLS = 5  # of each
MARKS = {adapter: [f"RUN-{secrets.token_hex(6)}" for _ in range(KILLS + 1)] for adapter in REAL}
SECONDS = 90.0  # for a run to end, on a busy machine


def answers(mark: str, real: Real) -> list[dict[str, Any]]:
    """A command that leaves a line and takes its time, and the end."""
    arguments = {real.argument: f"echo {mark} >>/output/effects; sleep 1", **dict(real.extra)}
    call = {"name": real.tool, "arguments": arguments}
    return [
        {"match": {"userMessage": mark, "hasToolResult": True}, "response": {"content": "The end.", "usage": USAGE}},
        {"match": {"userMessage": mark}, "response": {"content": "Go on. ", "usage": USAGE, "toolCalls": [call]}},
    ]


async def ended(estate: Estate, run: Run) -> Run:
    return await estate.ended(run.id, SECONDS)


def left(directory: Path) -> list[str]:
    """Processes of sandboxes with files of this test."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"bwrap" in line and str(directory).encode() in line:
            found.append(process.name)
    return found


def effects(estate: Estate) -> Counter[str]:
    counted = Counter[str]()
    for file in estate.settings.storage_path.rglob("output/effects"):
        counted.update(file.read_text().split())
    return counted


async def begun(estate: Estate, run: Run) -> None:
    async with asyncio.timeout(SECONDS):
        while await estate.owner.fetchval("SELECT worker IS NULL FROM runs WHERE id = $1", run.id):
            await asyncio.sleep(0.02)


async def test_kill_of_each_coding_agent(
    database: Any,
    tmp_path: Path,
    why_not: str,  # noqa: F811
    request: pytest.FixtureRequest,
    anyio_backend: str,
) -> None:
    if why_not or not FOLDER:
        pytest.skip(why_not or "NO CODING AGENT WAS KILLED: scripts/coding-agents FOLDER, and CODING_AGENTS=FOLDER")
    chance = random.Random(seed := random.randrange(1 << 32))
    print(f"seed {seed}")
    told = [answer for adapter, real in REAL.items() for mark in MARKS[adapter] for answer in answers(mark, real)]
    told.append({"match": {}, "response": {"content": "A title", "usage": USAGE}})
    await prepare_engine(database.owner_url, APPLICATION)
    ends = dict[CliAdapter, Counter[str]]()
    with mocked(request.config, tmp_path, told) as model:
        async with estate_on(database, tmp_path) as estate:
            workers = Workers(
                module="tests.faults.coding", url=database.url, directory=str(tmp_path), folder=FOLDER,
                model=model, key=KEY, doubles=False, slots=4, timing=TIMING,
            )  # fmt: skip
            try:
                for adapter, real in REAL.items():
                    ends[adapter] = await _killed(estate, workers, adapter, real, chance)
                async with asyncio.timeout(20):
                    while left(tmp_path):
                        await asyncio.sleep(0.2)
                assert await work.stranded(seconds=0) == 0
            finally:
                workers.close()
    print({str(adapter): dict(each) for adapter, each in ends.items()})


async def _killed(
    estate: Estate, workers: Workers, adapter: CliAdapter, real: Real, chance: random.Random
) -> Counter[str]:
    """Each kill in the middle of a run; the last run is killed by nobody."""
    ends, pid = Counter[str](), workers.start()
    for number, mark in enumerate(MARKS[adapter]):
        agent = await estate.agent(cli_adapter=adapter, llm_model=real.model, llm_provider=real.provider)
        run = await estate.ask(f"{mark}: go", await estate.chat(agent))
        await begun(estate, run)
        if number < KILLS:
            await asyncio.sleep(chance.uniform(0.2, 5.0))
            workers.kill(pid)
            pid = workers.start()
        run = await ended(estate, run)
        count = effects(estate)[mark]
        assert count <= 1, "an effect was doubled"
        if run.status == "COMPLETED":
            assert count == 1
        else:
            assert (run.status, run.error_message) == ("CANCELLED", "server_restart"), (adapter, run.error_message)
        frames = await estate.answer(str(run.chat_id))
        assert [each["type"] for each in frames].count("done") == 1
        ends[run.status] += 1
    assert run.status == "COMPLETED", run.error_message
    workers.kill(pid)
    return ends
