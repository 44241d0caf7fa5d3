"""The clock of recurring issues in real processes: a day of simulated time, and kill -9 at any moment."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.staff.agents import AgentRole
from models.staff.crews import Crew
from models.work.recurring_issues import RecurringIssue
from resolvers.work.recurring_issues.firing import FIRE
from tests.faults.workers import Workers
from tests.runtime.estate import Estate, estate_on

pytestmark = pytest.mark.anyio
RHYTHM = {"sweep": 0.2, "patience": 0.6, "measure": 1.0, "retry": 0.1}
STEP = timedelta(minutes=30)
UNFINISHED = (
    "SELECT count(*) FROM dbos.workflow_status WHERE name = $1 AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')"
)
MADE = "SELECT title, count(*) FROM missions WHERE authored_via = 'recurring' GROUP BY title"


@dataclass
class Tower:
    """A crew with recurring issues, and processes whose time is told them."""

    estate: Estate
    workers: Workers
    directory: Path
    crew: Crew

    async def template(self, title: str, cron: str, zone: str | None, next_run: datetime) -> None:
        here: dict[str, Any] = {"crew_id": self.crew.id, "workspace_id": self.estate.workspace.id}
        made = RecurringIssue(title=title, cron_expression=cron, time_zone=zone, next_run=next_run, **here)
        await self.estate.add(made)

    def tell(self, now: datetime) -> None:
        """In one step: nobody reads half of it."""
        (self.directory / "next").write_text(str(now.timestamp()))
        (self.directory / "next").rename(self.directory / "now")

    async def looked(self, now: datetime, processes: int) -> None:
        lines = self.directory / "looked"
        async with asyncio.timeout(60):
            while not lines.exists() or lines.read_text().count(f"{now.timestamp()}\n") < processes:
                await asyncio.sleep(0.01)
            while await self.estate.owner.fetchval(UNFINISHED, FIRE.name):
                await asyncio.sleep(0.01)

    async def made(self) -> Counter[str]:
        return Counter(dict(tuple(row) for row in await self.estate.owner.fetch(MADE)))


@pytest.fixture
async def tower(database: Any, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Tower]:
    async with estate_on(database, tmp_path) as estate:
        crew = Crew(name="Deck", slug="deck", issue_prefix="DECK", workspace_id=estate.workspace.id)
        await estate.add(crew)
        await estate.agent(crew_id=crew.id, agent_role=AgentRole.LEAD)
        given = {"url": database.url, "directory": str(tmp_path), "rhythm": RHYTHM}
        workers = Workers(module="tests.work.recurring_issues.working", **given)
        try:
            yield Tower(estate, workers, tmp_path, crew)
        finally:
            workers.close()


DAYS = {  # from noon to noon; titles are schedules, and what each comes to
    datetime(2026, 3, 28, 12, tzinfo=UTC): {
        ("0 * * * *", None): 24,
        ("*/30 * * * *", None): 48,
        ("30 3 * * *", None): 1,
        ("0 9 * * SUN", None): 1,
        ("0 9 * * MON-FRI", None): 0,
        ("0 13,19 * * *", None): 2,
        ("30 2 * * *", "Europe/Berlin"): 1,  # it does not exist that night
        ("0,30 1-3 * * *", "Europe/Berlin"): 4,  # 1:00, 1:30, and those two of 2 and 3 o'clock that are the same
        ("0 * * * *", "Europe/Berlin"): 24,
        ("0 0 * * *", "America/New_York"): 1,
        ("0 0 * * *", "Asia/Kolkata"): 1,
    },
    datetime(2025, 10, 25, 12, tzinfo=UTC): {
        ("30 2 * * *", "Europe/Berlin"): 1,  # it exists twice that night
        ("*/30 2 * * *", "Europe/Berlin"): 2,
        ("0 * * * *", "Europe/Berlin"): 24,
        ("0 9 * * *", None): 1,
    },
}


@pytest.mark.parametrize("noon", DAYS)
@pytest.mark.slow
async def test_a_day_of_two_processes_makes_each_once(tower: Tower, noon: datetime) -> None:
    """Both look at every moment, side by side, which is more than the kernel's clock lets them do."""
    from resolvers.work.recurring_issues.schedules import next_of

    for cron, zone in DAYS[noon]:
        first = next_of(RecurringIssue(cron_expression=cron, time_zone=zone), noon)
        assert first is not None
        await tower.template(f"{cron} {zone}", cron, zone, first)
    tower.tell(noon)
    for _ in range(2):
        tower.workers.start()
    at = noon
    await tower.looked(at, 2)
    while at < noon + timedelta(days=1):
        at += STEP
        tower.tell(at)
        await tower.looked(at, 2)
    expected = {f"{cron} {zone}": times for (cron, zone), times in DAYS[noon].items() if times}
    assert await tower.made() == expected
    rows = await tower.estate.owner.fetch("SELECT title, run_count FROM recurring_issues WHERE run_count > 0")
    assert dict(tuple(row) for row in rows) == expected


async def killed_at_random(tower: Tower, rows: int, kills: int, chance: random.Random) -> None:
    past = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(rows):
        await tower.template(f"Number {number}", "0 0 1 1 *", None, past)
    tower.tell(past)
    for _ in range(kills):
        pid = tower.workers.start()
        await asyncio.sleep(chance.uniform(0.05, 1.0))
        tower.workers.kill(pid)
    tower.workers.start()
    async with asyncio.timeout(60):
        while (await tower.made()).total() < rows:
            await asyncio.sleep(0.05)
        while await tower.estate.owner.fetchval(UNFINISHED, FIRE.name):
            await asyncio.sleep(0.05)
    assert await tower.made() == Counter({f"Number {number}": 1 for number in range(rows)})
    numbers = await tower.estate.owner.fetch("SELECT number FROM missions ORDER BY number")
    assert [row[0] for row in numbers] == list(range(1, rows + 1))
    assert await tower.estate.owner.fetchval("SELECT count(*) FROM recurring_issues WHERE run_count <> 1") == 0


@pytest.mark.slow
async def test_kill_at_any_moment_makes_each_once(tower: Tower) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    await killed_at_random(tower, 400, 30, random.Random(seed))
