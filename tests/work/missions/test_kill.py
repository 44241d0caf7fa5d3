"""kill -9 of a worker while issues are worked on: what they come to is written once, and none is stuck."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.work.missions import Mission
from resolvers.work.missions import driving
from tests.faults.workers import Workers
from tests.runtime.estate import estate_on
from tests.work.missions.harbour import Agents, Berth, Harbour

pytestmark = pytest.mark.anyio
TIMING = {"lease": 0.8, "extend": 0.2, "poll": 0.05}
RHYTHM = {"sweep": 0.2, "patience": 0.6, "measure": 1.0, "retry": 0.1}


class Deck:
    """Issues, workers that may be killed, and what these have left outside."""

    def __init__(self, harbour: Harbour, workers: Workers, directory: Path) -> None:
        self.harbour, self.workers, self.directory = harbour, workers, directory

    def lines(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    async def reached(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(set(self.lines("reached"))) < count:
                await asyncio.sleep(0.02)

    async def judge(self, issues: list[tuple[Berth, Mission]]) -> Counter[str]:
        """Every issue has one end, told once and with one story. Returns how many ended how."""
        for berth, issue in issues:
            await berth.ended(issue, 60)
            await berth.quiet(issue)
        ends, effects = Counter[str](), Counter(self.lines("effects"))
        assert max(effects.values()) == 1, "an effect was doubled"
        for berth, issue in issues:
            row = await berth.row(issue)
            ends[row.status] += 1
            [task], [assignment] = await berth.tasks(issue), await berth.of("assignments", issue)
            well = row.status == "REVIEW"
            assert (task["status"], assignment["status"] == "COMPLETED") == ("COMPLETED" if well else "FAILED", well)
            assert sorted(each["action"] for each in await berth.of("issue_activity", issue)) == [
                "status_changed",
                "status_changed",
                "task_completed" if well else "task_failed",
            ]
            # nothing, where it was said before another worker took over
            said = assignment["result_summary"] or assignment["error_message"]
            assert [each["body"] for each in await berth.of("issue_comments", issue)] == ([said] if said else [])
            assert len(await berth.inbox(issue)) == int(well)
            told = await berth.told(issue)
            assert told[-2:] == [("task.updated", task["status"]), ("mission.updated", row.status)]
            assert len(told) == len(set(told)) == 5
            run_id = await self.harbour.estate.owner.fetchval(
                "SELECT id FROM runs WHERE assignment_id = $1", assignment["id"]
            )
            assert effects[run_id] == 1 if well else effects[run_id] <= 1
        assert await self.harbour.estate.owner.fetchval("SELECT count(*) FROM runs WHERE status = 'RUNNING'") == 0
        return ends


@pytest.fixture
async def deck(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> AsyncIterator[Deck]:
    monkeypatch.setattr(driving, "FIRST_LOOK", timedelta(0))
    async with estate_on(database, tmp_path / "data") as estate:
        given = {
            "url": database.url,
            "directory": str(tmp_path / "data"),
            "effects": str(tmp_path),
            "timing": TIMING,
            "rhythm": RHYTHM,
        }
        workers = Workers(module="tests.work.missions.working", **given)
        try:
            yield Deck(Harbour(estate, Agents()), workers, tmp_path)
        finally:
            workers.close()


@pytest.mark.slow
async def test_kill_while_agents_are_at_work(deck: Deck) -> None:
    """Another worker goes on with what the first has begun."""
    berth = await deck.harbour.crew()
    issues = [(berth, await berth.issue()) for _ in range(4)]
    first = deck.workers.start()
    for _, issue in issues:
        await berth.start(issue)
    await deck.reached(4)
    deck.workers.kill(first)
    (deck.directory / "let_go").touch()
    deck.workers.start()
    assert await deck.judge(issues) == Counter(REVIEW=4)


@pytest.mark.slow
async def test_kill_at_random(deck: Deck) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, issues = random.Random(seed), list[tuple[Berth, Mission]]()
    (deck.directory / "let_go").touch()
    pids = [deck.workers.start() for _ in range(2)]
    for n in range(12):
        berth = await deck.harbour.crew()
        issues += [(berth, await berth.issue()) for _ in range(4)]
        for _, issue in issues[-4:]:
            await berth.start(issue)
        await asyncio.sleep(chance.uniform(0.05, 1.0))
        deck.workers.kill(pids[n % 2])
        pids[n % 2] = deck.workers.start()
    ends = await deck.judge(issues)
    assert ends.keys() <= {"REVIEW", "FAILED"}
    assert sum(ends.values()) == 48
