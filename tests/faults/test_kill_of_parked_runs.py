"""kill -9 of workers around a run that waits for a decision: what was decided on is done once, or said to be unsure."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crewship.process.postgres import APPLICATION
from models.staff.runs import NEVER, Run, RunStatus
from resolvers.attention.approvals import decide_approval
from runtime.engine.dbos_tables import prepare_engine
from tests.faults.workers import Workers
from tests.runtime.estate import Estate, estate_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
TIMING = {"lease": 1.5, "extend": 0.3, "poll": 0.1}


@dataclass
class Ground:
    estate: Estate
    workers: Workers
    marks: Path
    runs: list[Run] = field(default_factory=list)

    def hold(self, place: str) -> None:
        (self.marks / f"hold_{place}").touch()

    def let_go(self, place: str) -> None:
        (self.marks / f"hold_{place}").unlink()

    def counted(self, name: str) -> Counter[str]:
        path = self.marks / name
        return Counter(path.read_text().splitlines() if path.exists() else [])

    async def ask(self, count: int) -> None:
        self.runs += [await self.estate.ask() for _ in range(count)]

    async def until(self, done: Any, seconds: float = 60.0) -> None:
        async with asyncio.timeout(seconds):
            while not await done():
                await asyncio.sleep(0.02)

    async def all_parked(self) -> None:
        """Nobody holds them."""
        sql = "SELECT count(*) FROM runs WHERE waits_for IS NOT NULL AND leased_until = $1 AND worker IS NULL"

        async def parked() -> bool:
            return await self.estate.owner.fetchval(sql, NEVER) == len(self.runs)

        await self.until(parked)

    async def reached(self, place: str, times: int) -> None:
        async def all_have() -> bool:
            counted = self.counted(place)
            return all(counted[run.id] >= times for run in self.runs)

        await self.until(all_have)

    async def decide(self, ids: list[str]) -> None:
        for id in ids:
            given = {"id": id, "status": "approved"}
            await decide_approval(self.estate.caller, given, place=self.estate.workspace.id)

    async def waiting(self) -> list[str]:
        rows = await self.estate.owner.fetch("SELECT id FROM approvals WHERE status = 'pending'")
        return [row["id"] for row in rows]

    async def judge(self) -> Counter[str]:
        """One approval a run, one end, and no effect that was doubled. Returns how many ended how."""
        ends, effects = Counter[str](), self.counted("effects")
        for asked in self.runs:
            run = await self.estate.ended(asked.id)
            ends[run.error_message or run.status] += 1
            assert effects[run.id] == 1 if run.status is RunStatus.COMPLETED else effects[run.id] <= 1
            assert run.waits_for is None
            frames = await self.estate.answer(str(run.chat_id))
            assert [frame["type"] for frame in frames].count("done") == 1
        assert await self.estate.owner.fetchval("SELECT count(*) FROM approvals") <= len(self.runs)
        of_one = "SELECT max(n) FROM (SELECT count(*) AS n FROM approvals GROUP BY run_id) AS counted"
        assert await self.estate.owner.fetchval(of_one) == 1
        return ends


@pytest.fixture
async def ground(database: Any, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Ground]:
    await prepare_engine(database.owner_url, APPLICATION)
    async with estate_on(database, tmp_path / "data") as estate:
        given = {"url": database.url, "directory": str(tmp_path / "data"), "marks": str(tmp_path), "timing": TIMING}
        workers = Workers(module="tests.faults.consenting", **given)
        try:
            yield Ground(estate, workers, tmp_path)
        finally:
            workers.close()


async def test_kill_while_runs_are_parked_and_again_while_they_resume(ground: Ground) -> None:
    first = ground.workers.start()
    await ground.ask(3)
    await ground.all_parked()
    ground.workers.kill(first)
    second = ground.workers.start()
    asked = await ground.waiting()
    assert len(asked) == 3
    assert ground.counted("effects") == {}
    assert set(ground.counted("taken").values()) == {1}, "who waits for a decision is taken up by nobody"
    ground.hold("taken")
    await ground.decide(asked)
    await ground.reached("taken", 2)
    ground.workers.kill(second)
    assert ground.counted("effects") == {}
    ground.let_go("taken")
    ground.workers.start()
    assert await ground.judge() == Counter(COMPLETED=3)
    assert ground.counted("effects") == Counter(run.id for run in ground.runs)


async def test_kill_while_what_was_decided_on_is_done(ground: Ground) -> None:
    """Nobody knows how the call ended: it is not made again, and the run says so."""
    ground.hold("acting")
    first = ground.workers.start()
    await ground.ask(2)
    await ground.all_parked()
    await ground.decide(await ground.waiting())
    await ground.reached("acting", 1)
    ground.workers.kill(first)
    ground.let_go("acting")
    ground.workers.start()
    assert await ground.judge() == Counter(server_restart=2)
    assert ground.counted("effects") == Counter(run.id for run in ground.runs)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [4, 40])
async def test_kill_at_random(ground: Ground, kills: int) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pids = [ground.workers.start() for _ in range(2)]
    for n in range(kills):
        await ground.ask(3)
        await asyncio.sleep(chance.uniform(0.05, 0.6))
        waiting = await ground.waiting()
        await ground.decide(chance.sample(waiting, len(waiting) // 2))
        await asyncio.sleep(chance.uniform(0, 0.3))
        ground.workers.kill(pids[n % 2])
        pids[n % 2] = ground.workers.start()

    async def over() -> bool:
        await ground.decide(await ground.waiting())
        return await ground.estate.owner.fetchval("SELECT count(*) FROM runs WHERE status = 'RUNNING'") == 0

    try:
        await ground.until(over, 120)
    except TimeoutError:
        left = "SELECT id, lease, worker, leased_until, waits_for, parks, now() FROM runs WHERE status = 'RUNNING'"
        pytest.fail(f"not over: {[tuple(row) for row in await ground.estate.owner.fetch(left)]}")
    ends = await ground.judge()
    print(f"{kills} kills, {len(ground.runs)} runs: {dict(ends)}")
    assert ends.keys() <= {"COMPLETED", "server_restart"}
    assert ends["COMPLETED"] > 0
