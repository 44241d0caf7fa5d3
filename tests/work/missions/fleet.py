"""Missions whose ends are known before they begin, workers that come and go meanwhile, and whether all came out so."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from crewship.process.postgres import EmbeddedPostgres
from models.work.missions import Mission, MissionTask, TaskStatus
from resolvers.staff.runs import work
from tests.faults.workers import Workers
from tests.runtime.estate import Estate
from tests.work.missions.harbour import Agents, Berth, Harbour
from tests.work.missions.sailing import REPEATED, script
from tests.world import connect_for_all

TIMING = {"lease": 2.5, "extend": 0.4, "poll": 0.2}
RHYTHM = {"sweep": 0.3, "patience": 0.6, "measure": 1.0, "retry": 0.1}
PATIENCE = 30.0  # seconds that a worker may take to end after SIGTERM
CALL = {"model": "m", "provider": "p", "input_tokens": 90, "output_tokens": 10, "cost_usd": 0.01}
COUNTS = """
SELECT (SELECT count(*) FROM assignments WHERE chat_id = $1), (SELECT count(*) FROM runs WHERE assignment_id IN
    (SELECT id FROM assignments WHERE chat_id = $1)), (SELECT count(*) FROM model_calls WHERE mission_id = $1),
    (SELECT count(*) FROM issue_activity WHERE mission_id = $1)
"""
LEFT = (
    "SELECT name, status, executor_id, workflow_uuid FROM dbos.workflow_status"
    " WHERE status IN ('ENQUEUED', 'PENDING') AND queue_name LIKE 'job:%'"
)
UNFINISHED = (
    "SELECT id, status FROM missions WHERE status = 'IN_PROGRESS'",
    "SELECT status, count(*) FROM mission_tasks GROUP BY status",
    "SELECT id, lease, worker, leased_until, now() FROM runs WHERE status = 'RUNNING'",
)


@dataclass
class Voyage:
    """A mission, and how each of its tasks is to end, by title."""

    berth: Berth
    mission: Mission
    ends: dict[str, TaskStatus]

    @property
    def begun(self) -> int:
        return sum(end in (TaskStatus.COMPLETED, TaskStatus.FAILED) for end in self.ends.values())

    @property
    def status(self) -> str:
        return "FAILED" if TaskStatus.FAILED in self.ends.values() else "REVIEW"


@dataclass
class Fleet:
    estate: Estate
    workers: Workers
    marks: Path
    owner_url: str
    chance: random.Random
    voyages: list[Voyage] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    kills: int = 0

    @classmethod
    def on(cls, estate: Estate, url: str, owner_url: str, directory: Path) -> "Fleet":
        marks, seed = directory / "marks", random.randrange(1 << 32)
        print(f"seed {seed}")
        marks.mkdir()
        given: dict[str, Any] = {"directory": str(directory), "marks": str(marks), "slots": 8}
        workers = Workers(module="tests.work.missions.sailing", url=url, timing=TIMING, rhythm=RHYTHM, **given)
        return cls(estate, workers, marks, owner_url, random.Random(seed))

    async def plan(self, crews: int, missions: int, tasks: int, failing: int, seconds: float) -> None:
        """`missions` a crew, of `tasks` that depend on up to three before them; in `failing` of the crews, one of the
        first mission's fails.
        """
        for n in range(crews):
            berth = await Harbour(self.estate, Agents()).crew()
            agents = [berth.worker, *[await self.estate.agent(crew_id=berth.crew.id) for _ in range(2)]]
            for of_crew in range(missions):
                fails = self.chance.randrange(tasks) if n < failing and of_crew == 0 else None
                await self._plan(berth, agents, tasks, fails, seconds)

    async def _plan(self, berth: Berth, agents: list[Any], tasks: int, fails: int | None, seconds: float) -> None:
        mission, made, ends = await berth.mission(), list[MissionTask](), dict[str, TaskStatus]()
        held: dict[str, bool] = {}  # title: whether it waits for one that fails
        for n in range(tasks):
            title = f"{mission.id}-{n}"
            before = self.chance.sample(made, min(len(made), self.chance.randrange(4)))
            steps: list[dict[str, Any]] = [{"call": CALL}, {"text": f"{title} is done"}]
            text = script(title, *(steps if n != fails else [*steps, {"fail": "aground"}]), seconds=seconds)
            states = {"status": TaskStatus.BLOCKED} if before else {}
            made.append(
                await berth.task(mission, title, n, self.chance.choice(agents), *before, description=text, **states)
            )
            held[title] = any(held[task.title] or ends[task.title] is TaskStatus.FAILED for task in before)
            ends[title] = (
                TaskStatus.BLOCKED if held[title] else TaskStatus.FAILED if n == fails else TaskStatus.COMPLETED
            )
        self.voyages.append(Voyage(berth, mission, ends))

    async def start(self, workers: int = 2) -> None:
        self.pids = [self.workers.start() for _ in range(workers)]
        for voyage in self.voyages:
            await voyage.berth.go(voyage.mission)

    # ---- faults --------------------------------------------------------------------------------------------------

    def done(self) -> Counter[str]:
        """Titles of the tasks, by how many marks there are."""
        return Counter(path.name.rpartition(".")[0] for path in self.marks.iterdir() if path.name != REPEATED)

    @property
    def share(self) -> float:
        """Of the tasks that are to begin, those that have left their mark."""
        return len(self.done()) / sum(voyage.begun for voyage in self.voyages)

    async def under_way(self) -> bool:
        sql = "SELECT EXISTS (SELECT FROM missions WHERE status = 'IN_PROGRESS')"
        return await self.estate.owner.fetchval(sql) is True

    async def kill(self) -> None:
        """One of the workers, which another one comes for."""
        n = self.chance.randrange(len(self.pids))
        self.workers.kill(self.pids[n])
        self.pids[n] = self.workers.start()
        self.kills += 1

    async def deploy(self) -> float:
        """A new worker comes, and an old one is told to go; in how many seconds it did."""
        began, old = time.monotonic(), self.pids[0]
        self.pids[0] = self.workers.start()
        await self._told_to_stop(old)
        return time.monotonic() - began

    async def _told_to_stop(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            while self.workers.alive(pid):
                await asyncio.sleep(0.05)
        self.workers.pids.remove(pid)

    async def restart(self, server: EmbeddedPostgres) -> None:
        """Whoever is connected is cut off."""
        assert server._process is not None
        server._process.send_signal(signal.SIGINT)
        self.estate.owner.terminate()
        async with asyncio.timeout(60):
            while True:
                try:
                    self.estate.owner = await connect_for_all(self.owner_url)
                    break
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await asyncio.sleep(0.05)

    async def in_port(self, seconds: float) -> None:
        """All missions have ended, nothing is left to do, and the workers have gone."""
        deadline = time.monotonic() + seconds
        while await self.under_way() or await self.estate.owner.fetch(LEFT):
            assert time.monotonic() < deadline, await self._left()
            await asyncio.sleep(0.1)
        for pid in self.pids:
            await self._told_to_stop(pid)

    async def _left(self) -> str:
        """Whatever has not ended."""
        asked = (*UNFINISHED, LEFT)
        rows = [str(dict(row)) for sql in asked for row in await self.estate.owner.fetch(sql)]
        return f"stuck at {self.share:.0%}, with workers {self.pids}:\n" + "\n".join(rows)

    # ---- what came of it -----------------------------------------------------------------------------------------

    async def judge(self) -> None:
        done = self.done()
        assert set(done.values()) == {1}, "a task was worked on twice"
        assert len(done) == sum(voyage.begun for voyage in self.voyages), "a task was left out"
        for voyage in self.voyages:
            await self._judge(voyage)
        owner = self.estate.owner
        assert await owner.fetchval("SELECT count(*) FROM runs WHERE status = 'RUNNING'") == 0
        assert await work.stranded(seconds=0) == 0
        assert not self.workers.pids
        assert await owner.fetchval("SELECT count(*) FROM run_reservations") == 0

    async def _judge(self, voyage: Voyage) -> None:
        row, tasks = await voyage.berth.row(voyage.mission), await voyage.berth.tasks(voyage.mission)
        assert {task["title"]: task["status"] for task in tasks} == voyage.ends
        assert row.status == voyage.status
        for task in tasks:
            if task["status"] == TaskStatus.COMPLETED:
                assert (task["result_summary"], task["token_count"]) == (f"{task['title']} is done", 100)
        assert row.total_token_count == 100 * voyage.begun
        [counts] = await self.estate.owner.fetch(COUNTS, voyage.mission.id)
        assert tuple(counts) == (voyage.begun,) * 4
        told, expected = await self._told(voyage), self._expected(voyage, tasks)
        assert told == expected, (told - expected, expected - told)

    async def _told(self, voyage: Voyage) -> Counter[tuple[str, str]]:
        found = await self.estate.events(f"mission:{voyage.mission.id}")
        return Counter((type, payload["status"]) for type, payload in found)

    @staticmethod
    def _expected(voyage: Voyage, tasks: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
        """Every change is told once; a task that waited for others was BLOCKED, and became PENDING."""
        ended = [task for task in tasks if task["status"] != TaskStatus.BLOCKED]
        made = Counter([("mission.updated", "IN_PROGRESS"), ("mission.status", "STARTED")])
        made["mission.status", voyage.status] += 1
        made["task.status", "IN_PROGRESS"] = len(ended)
        made["task.status", "PENDING"] = sum(bool(task["depends_on"]) for task in ended)
        return made + Counter(("task.status", task["status"]) for task in ended)
