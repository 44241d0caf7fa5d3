"""kill -9 of workers and database, while runs of several steps are carried out: nothing is lost, doubled, or stuck."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION, EmbeddedPostgres
from models.migrations import upgrade
from models.staff.runs import Run
from resolvers.staff.runs import work
from runtime.engine.dbos_tables import prepare_engine
from tests.faults.workers import Workers
from tests.faults.working import said
from tests.runtime.estate import Estate, estate_on
from tests.world import connect_for_all

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
KILLS = 200

ROUNDS = 4
AT_ONCE = 12
WORKERS = 3
KILLED = {"lease": 0.8, "extend": 0.2, "poll": 0.05}


@dataclass(frozen=True)
class Place:
    """A database: as the application and as the owner of the tables reach it."""

    url: str
    owner_url: str


@dataclass
class Ground:
    """A database of its own, workers on it, and the count of what they did."""

    estate: Estate
    workers: Workers
    effects: Path
    owner_url: str
    runs: list[Run] = field(default_factory=list)

    async def ask(self, seconds: float) -> None:
        self.runs.append(await self.estate.ask(json.dumps({"rounds": ROUNDS, "seconds": seconds})))

    async def live(self) -> int:
        count: int = await self.estate.owner.fetchval("SELECT count(*) FROM runs WHERE status = 'RUNNING'")
        return count

    async def busy(self, pid: int) -> bool:
        """Whether this worker holds a run now."""
        sql = (
            "SELECT EXISTS (SELECT FROM runs WHERE status = 'RUNNING'"
            " AND leased_until > now() AND worker LIKE '%-' || $1 || '-%')"
        )
        found: bool = await self.estate.owner.fetchval(sql, str(pid))
        return found

    async def ended(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while await self.live():
                await asyncio.sleep(0.1)

    def counted(self) -> Counter[tuple[str, int]]:
        lines = self.effects.read_text().splitlines() if self.effects.exists() else []
        return Counter((line.split()[0], int(line.split()[1])) for line in lines)

    async def judge(self) -> Counter[str]:
        """Every run ends, and its frames, steps, effects and messages tell one story. Returns how many ended how."""
        effects, ends = self.counted(), Counter[str]()
        assert max(effects.values(), default=1) == 1, "an effect was doubled"
        for asked in self.runs:
            run = await self.estate.run(asked.id)
            ends[run.error_message or run.status] += 1
            answer = await self.estate.answer(str(run.chat_id))  # also: no gap and no double in the numbers
            texts = "".join(event["content"] for event in answer if event["type"] == "text")
            assert [event["type"] for event in answer].count("done") == 1
            assert answer[-1]["type"] == "done"
            assert said(ROUNDS).startswith(texts), "something was lost or doubled in what was shown"
            assert len(answer) == run.frames + 1
            done = {n for n in range(ROUNDS) if effects[run.id, n]}
            messages = (await self.estate.messages(str(run.chat_id)))[1:]
            assert len(messages) == 1
            if run.status == "COMPLETED":
                assert done == set(range(ROUNDS)), "an effect was lost"
                assert texts == messages[0]["content"] == said(ROUNDS)
            else:
                assert (run.status, run.error_message, messages[0]["id"]) == (
                    "CANCELLED",
                    "server_restart",
                    f"msg_recovery_{run.id}",
                )
                assert done == set(range(len(done))), "a step was left out"
        assert await work.stranded(seconds=0) == 0
        statuses = await self.estate.owner.fetch("SELECT DISTINCT status FROM agents")
        assert {row[0] for row in statuses} == {"IDLE"}
        return ends


@pytest.fixture
async def ground(database: Any, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Ground]:
    await prepare_engine(database.owner_url, APPLICATION)
    async with estate_on(database, tmp_path) as estate:
        made = ground_on(estate, database, tmp_path, KILLED)
        yield made
        made.workers.close()


def ground_on(estate: Estate, place: Place, directory: Path, timing: dict[str, float]) -> Ground:
    effects = directory / "effects"
    workers = Workers(url=place.url, directory=str(directory), effects=str(effects), slots=AT_ONCE, timing=timing)
    return Ground(estate, workers, effects, place.owner_url)


async def kill_workers(ground: Ground, kills: int, chance: random.Random) -> None:
    """Kills workers that hold runs, at random moments, and starts others; new runs come as long as it goes on."""
    pids = [ground.workers.start() for _ in range(WORKERS)]
    for _ in range(kills):
        while await ground.live() < AT_ONCE:
            await ground.ask(chance.uniform(0.02, 0.3))
        deadline = time.monotonic() + 30
        while not (held := [pid for pid in pids if await ground.busy(pid)]):
            assert time.monotonic() < deadline, "no worker takes a run"
            await asyncio.sleep(0.02)
        await asyncio.sleep(chance.uniform(0, 0.6))
        victim = chance.choice(held)
        ground.workers.kill(victim)
        pids[pids.index(victim)] = ground.workers.start()


async def test_kill_of_workers(ground: Ground) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    await kill_workers(ground, KILLS, random.Random(seed))
    await ground.ended(60)
    ends = await ground.judge()
    print(f"{KILLS} kills, {len(ground.runs)} runs: {dict(ends)}; {sum(ground.counted().values())} effects")
    assert ends["COMPLETED"] > 0


@pytest.mark.slow
async def test_kill_of_the_database(tmp_path: Path, anyio_backend: str) -> None:
    """The workers live on: what they were about to store is stored once, and every run comes to its end."""
    server = EmbeddedPostgres(tmp_path / "data", durable=True)
    connection = server.start()
    try:
        await upgrade(connection.owner, application_role=APPLICATION)
        await prepare_engine(connection.owner, APPLICATION)
        place = Place(connection.application, connection.owner)
        async with estate_on(place, tmp_path) as estate:
            ground = ground_on(estate, place, tmp_path, {"lease": 30.0, "poll": 0.2})
            try:
                await _kill_database(ground, server)
            finally:
                ground.workers.close()
    finally:
        server.stop()


async def _kill_database(ground: Ground, server: EmbeddedPostgres) -> None:
    for _ in range(AT_ONCE):
        await ground.ask(0.8)
    for _ in range(WORKERS):
        ground.workers.start()
    for _ in range(3):
        await asyncio.sleep(random.uniform(0.8, 1.6))
        assert server._process is not None
        server._process.kill()
        await _answers(ground)
    await ground.ended(90)
    ends = await ground.judge()
    print(f"{AT_ONCE} runs: {dict(ends)}")
    assert ends == {"COMPLETED": AT_ONCE}


async def _answers(ground: Ground) -> None:
    """Until the database is back, with a connection of the owner on it."""
    ground.estate.owner.terminate()
    async with asyncio.timeout(60):
        while not await _lives(ground.owner_url):
            await asyncio.sleep(0.1)
    ground.estate.owner = await connect_for_all(ground.owner_url)


async def _lives(url: str) -> bool:
    """Children of a server that was killed go on for a moment."""
    try:
        conn = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    try:
        for _ in range(5):
            await conn.fetchval("SELECT 1")
            await asyncio.sleep(0.1)
        return True
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return False
    finally:
        conn.terminate()
