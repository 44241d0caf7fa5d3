"""A page of the audit log costs the same, however many months there are."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.partitions import part_off
from tests.scale.plans import explain, listening, nodes
from tests.scale.population import Population
from tests.scale.reading import Read, Reader
from tests.world import world_on

pytestmark = pytest.mark.anyio

FEW, MANY = 3, 24
EACH = 400  # rows of a month
MONTH = timedelta(days=31)
FILTERS = (
    "sort: newest_first",
    "sort: oldest_first",
    'action: "create"',
    'entityType: "agent"',
    'entityId: "a1"',
    'userId: "{user}"',
    'action: "create", entityType: "agent"',
    'search: "reat"',
    'search: "reat", action: "create"',
    'dateTo: "{oldest}"',
    'action: "create", dateTo: "{oldest}"',
    'sort: oldest_first, dateFrom: "{newest}"',
)
READS = [(chosen, behind) for chosen in FILTERS for behind in (False, True)]


class Log:
    """An audit log that grows backwards, by months."""

    def __init__(self, population: Population, reader: Reader, this_month: datetime) -> None:
        self.population, self.reader, self.begin, self.months = population, reader, this_month, 0
        self.newest = this_month - MONTH

    async def grow(self, months: int) -> None:
        superuser = self.population.superuser
        for number in range(self.months, months):
            end, self.begin = self.begin, self.begin - MONTH
            await part_off(superuser, "audit_logs", f"m{number}", self.begin, end)
            done = {"action": "'create'", "entity_type": "'AGENT'", "entity_id": "'a' || i % 3"}
            when = f"timestamptz '{self.begin.isoformat()}' + i % {EACH} * interval '1 hour'"
            user = f"'{self.population.user_id}'"
            first = number * EACH
            rows = (first, first + EACH - 1)
            await self.population.fill("audit_logs", *rows, id="'c' || i", user_id=user, created_at=when, **done)
        self.months = months
        await superuser.execute("VACUUM (ANALYZE) audit_logs")

    async def costs(self, chosen: str, *, behind: bool) -> tuple[int, int, set[str]]:
        """Rows of a page, its buffers, and the kinds of nodes of the plan."""
        times = {"oldest": self.begin + MONTH, "newest": self.newest}
        values = {name: time.isoformat() for name, time in times.items()} | {"user": self.population.user_id}
        read = Read(chosen, field=f"auditLog({chosen.format(**values)}", shown="edges { node { id } }", behind=behind)
        cursor = await self.reader.cursor(Read(read.name, field=read.field)) if behind else None
        with listening() as heard:
            answer = await self.reader.ask(read, cursor)
        (rows,) = [page["edges"] for page in answer.json()["data"].values()]
        (asked,) = [call for call in heard if "audit_logs" in call[0]]
        plan = await explain(*asked)
        assert plan is not None
        return len(rows), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], {n["Node Type"] for n in nodes(plan)}


@pytest.fixture
async def log(module_database: Any, tmp_path: Path) -> AsyncIterator[Log]:
    async with world_on(module_database, tmp_path, row_level_security=True) as world:
        superuser = await asyncpg.connect(module_database.server.dsn("postgres", module_database.name))
        try:
            await superuser.execute("SET session_replication_role = replica")
            population = Population(superuser, world.workspace.id, world.owner.user_id, world.nobody.user_id)
            this_month = await superuser.fetchval("SELECT date_trunc('month', now(), 'UTC')")
            yield Log(population, Reader(world, 0), this_month)
        finally:
            await superuser.close()


@pytest.mark.slow
async def test_a_page_costs_the_same_however_many_months_there_are(log: Log) -> None:
    """The partitions are read in their order, up to the one that fills the page, and those before the cursor not."""
    costs = {}
    for months in (FEW, MANY):
        await log.grow(months)
        costs[months] = {read: await log.costs(read[0], behind=read[1]) for read in READS}
    for read in READS:
        (few_rows, few, _), (rows, many, kinds) = costs[FEW][read], costs[MANY][read]
        assert rows == few_rows == 20, read
        assert many <= few + 6, f"{read}: {few} buffers of {FEW} months, {many} of {MANY}"
        assert not kinds & {"Merge Append", "Sort", "Incremental Sort"}, (read, kinds)
