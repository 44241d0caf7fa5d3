"""A simulated year: what is kept of it, what that takes, and what lists cost meanwhile.

`make year` runs it with 200,000 runs, and writes bench/year.md.
"""

import datetime
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from models.base import PARTITION, table_of
from resolvers.kernel.background import retention, sweeper
from resolvers.kernel.background.clocks import across_workspaces
from tests.partitions import part_off
from tests.scale.population import AGENT, AGENTS, CHAT, NUMBER, SEALED, Population
from tests.scale.reading import Kind, Read, Reader
from tests.world import world_on

pytestmark = pytest.mark.anyio

RUNS = int(os.environ.get("YEAR_RUNS", "12000"))
MONTHS = 12
EACH = {"run_frames": 4, "events": 3}
"""Rows of a run."""
READS = (
    Read("runs", field="runs", shown="nodes { id status agentName }"),
    Read("log of an agent", f"/api/v1/agents/{AGENT}/logs?limit=20"),
    Read("audit log", field="auditLog"),  # over REST it counts them all, too
    Read("journal", "/api/v1/journal?limit=20"),
    Read("messages of a chat", f"/api/v1/chats/{CHAT}/messages?limit=20"),
)
KEPT = ("runs", "messages", "audit_logs")
"""For good, unless the operator says otherwise."""
DAYS = {"events": 7, "run_frames": 30}
JOURNAL_DAYS = 90
"""By a rule of the workspace: its lines are removed row by row."""
LINES = """
    INSERT INTO journal SELECT line.* FROM runs r, journal_lines(r) line WHERE r.id BETWEEN $1 AND $2
    ON CONFLICT DO NOTHING
"""
RULE = """
    INSERT INTO retention_rules (workspace_id, kind, days) VALUES ($1, 'journal', $2)
    ON CONFLICT (workspace_id, kind) DO UPDATE SET days = excluded.days, removed_until = NULL
"""
# A table that is not partitioned has no tree, and one that is has no size of its own.
SIZE = """
    SELECT pg_total_relation_size($1::text::regclass) + coalesce((
        SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree($1::text::regclass) WHERE level > 0
    ), 0)::bigint
"""


@dataclass
class Month:
    """At the end of a month: rows and bytes of each table, milliseconds and buffers of each list, and the sweep's."""

    sizes: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    costs: dict[str, tuple[float, int]] = field(default_factory=dict)
    swept: float = 0.0


class Year:
    """Months that end now. Its days are partitioned as the clock of the service would have done, and dropped at each
    month's end by its functions.
    """

    def __init__(self, superuser: "asyncpg.Connection[Any]", population: Population, reader: Reader) -> None:
        self.superuser, self.population, self.reader = superuser, population, reader
        self.made: dict[str, tuple[datetime.datetime, datetime.datetime]] = {}
        self.end = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    def begin_of(self, month: int) -> datetime.datetime:
        return self.end - datetime.timedelta(days=30 * (MONTHS - month))

    async def live(self, month: int) -> None:
        """What happens in a month."""
        begin, share = self.begin_of(month), RUNS // MONTHS
        for each in sweeper.partitioned():
            step = datetime.timedelta(days={"day": 1, "week": 7, "month": 30}[table_of(each.model).info[PARTITION]])
            await self._partitions(each.name, begin + datetime.timedelta(days=30), step)
        first, last = month * share + 1, (month + 1) * share
        when = f"timestamptz '{begin.isoformat()}' + (i - {first}) * interval '{30 * 86400 / share:.6f} seconds'"
        fill = self.population.fill
        await fill(
            "runs", first, last, id=f"'run-' || {NUMBER}", agent_id=AGENTS, status="'COMPLETED'",
            trigger_type="'USER'", lease="1", finished_at=when, created_at=when, started_at=when,
        )  # fmt: skip
        said = {"chat_id": f"'{CHAT}'", "content": "'message ' || i", "role": "'assistant'", "seq": "i"}
        await fill("messages", first, last, id=f"'msg_' || {NUMBER}", created_at=when, **said)
        ids = [
            await self.superuser.fetchval(f"SELECT 'run-' || {NUMBER} FROM (SELECT $1::int AS i) n", i)
            for i in (first, last)
        ]
        await self.superuser.execute(LINES, *ids)
        done = {"action": "'run.cancelled'", "entity_type": "'RUN'", "entity_id": f"'run-' || {NUMBER}"}
        await fill("audit_logs", first, last, id=f"'caudit' || {NUMBER}", created_at=when, **done)
        await self.superuser.execute(SEALED)
        for number in range(EACH["run_frames"]):
            await fill(
                "run_frames", first, last, chat_id=f"'{CHAT}'", seq=f"i * {EACH['run_frames']} + {number}",
                agent_id=AGENTS, run_id=f"'run-' || {NUMBER}", type="'chat_event'", created_at=when,
                payload="""'{"type": "text", "content": "words that an agent has said"}'::jsonb""",
            )  # fmt: skip
        for _ in range(EACH["events"]):
            await fill(
                "events", first, last, channel=f"'workspace:{self.population.workspace_id}'", type="'run.updated'",
                payload="""'{"id": "run", "status": "COMPLETED"}'::jsonb""", created_at=when,
            )  # fmt: skip

    async def _partitions(self, table: str, end: datetime.datetime, step: datetime.timedelta) -> None:
        """Up to the end of a month, or to where the service itself has begun."""
        if table not in self.made:
            first = await self.superuser.fetchval(
                "SELECT until FROM partition_ends($1) WHERE name = $1 || '_earlier'", table
            )
            self.made[table] = first - step * ((first - self.begin_of(0)) // step + 1), first
        at, first = self.made[table]
        while at < min(end, first):
            await part_off(self.superuser, table, f"{at:%Y%m%d}", at, at + step)
            at += step
        self.made[table] = at, first

    async def sweep(self, month: int) -> float:
        begun = time.perf_counter()
        for table, days in DAYS.items():
            before = self.begin_of(month + 1) - datetime.timedelta(days=days)
            while await self.superuser.fetchval("SELECT drop_partitions($1, $2)", table, before):
                pass
        days = JOURNAL_DAYS + 30 * (MONTHS - 1 - month)  # as if the month's end were now
        await self.superuser.execute(RULE, self.population.workspace_id, days)
        (journal,) = [each for each in retention.removals() if each.table == "journal"]
        await journal.carry_out(across_workspaces)
        return time.perf_counter() - begun

    async def look(self) -> Month:
        found = Month()
        await self.superuser.execute("VACUUM (ANALYZE)")
        for table in (*KEPT, "journal", *EACH):
            found.sizes[table] = await self.superuser.fetchval(SIZE, table)
            found.rows[table] = await self.superuser.fetchval(f"SELECT count(*) FROM {table}")
        for read in READS:
            cost = await self.reader.cost(read)
            found.costs[read.name] = cost.p50, cost.buffers
        return found


async def lived(database: Any, directory: Path, *, swept: bool) -> list[Month]:
    """A year, month by month: swept at each end, or in the last alone."""
    months = []
    async with world_on(database, directory, row_level_security=True) as world:
        superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
        population = Population(superuser, world.workspace.id, world.owner.user_id, world.nobody.user_id)
        try:
            await superuser.execute("SET session_replication_role = replica; SET statement_timeout = 0")
            await population._agents(1, 20)
            kinds = {"visibility": "'private'", "mode": "'CHAT'", "status": "'ACTIVE'", "origin": "'UI'"}
            await population.fill("chats", 1, 1, id=f"'{CHAT}'", agent_id=f"'{AGENT}'", **kinds)
            year = Year(superuser, population, Reader(world, 20))
            for month in range(MONTHS):
                await year.live(month)
                took = await year.sweep(month) if swept else 0.0
                if swept or month == MONTHS - 1:
                    months.append(await year.look())
                    months[-1].swept = took
            if not swept:
                took = await year.sweep(MONTHS - 1)
                months.append(await year.look())
                months[-1].swept = took
        finally:
            await superuser.close()
    return months


HEAD = """# A year

What a workspace takes that has {runs:,} runs in a year, with {frames} frames and {events} events each, and what its
lists cost, at the end of each month. Written by `make year`.

Events are kept for 7 days and frames for 30, in partitions that are dropped; the journal for 90, by a rule of the
workspace, row by row; runs, messages and audit rows for good. `sweep` is the time of all of that. Milliseconds are of
an answer over a socket, and vary with what else the machine does; buffers are pages of 8 KiB, and do not.

| month | sweep ms | {tables} | {lists} |
| --- | --: |{rule}
"""


def line(name: str, month: Month) -> str:
    sizes = [f"{month.rows[table]:,} in {month.sizes[table] / 2**20:,.0f} MB" for table in month.sizes]
    costs = [f"{p50:.1f} ms, {buffers}" for p50, buffers in month.costs.values()]
    return "| " + " | ".join([name, f"{month.swept * 1000:.0f}", *sizes, *costs]) + " |"


def written(months: list[Month], kept: list[Month]) -> str:
    columns = len(months[0].sizes) + len(months[0].costs)
    head = HEAD.format(
        runs=RUNS, frames=EACH["run_frames"], events=EACH["events"], tables=" | ".join(months[0].sizes),
        lists=" | ".join(months[0].costs), rule=" --: |" * columns,
    )  # fmt: skip
    lines = [line(str(number), month) for number, month in enumerate(months, 1)]
    lines += [line("12, if nothing were removed", kept[0]), line("12, and then swept at once", kept[1])]
    return head + "\n".join(lines) + "\n"


@pytest.mark.slow
async def test_a_year_is_as_large_and_as_fast_as_its_last_month(
    module_database: Any, database: Any, tmp_path: Path
) -> None:
    months = await lived(module_database, tmp_path / "swept", swept=True)
    for table in EACH:  # the first months are not full yet, and on some dates one more partition is not over
        assert months[-1].rows[table] <= 1.3 * months[2].rows[table]
        assert months[-1].sizes[table] <= 1.4 * months[2].sizes[table]
    assert months[-1].rows["journal"] <= 1.1 * months[3].rows["journal"]
    assert months[-1].sizes["journal"] <= 1.5 * months[3].sizes["journal"]
    assert all(month.sizes[table] > 0 for month in months for table in month.sizes)
    for read in READS:
        assert read.kind is Kind.page
        assert months[-1].costs[read.name][1] <= 1.1 * months[2].costs[read.name][1] + 6 * read.rows
    if (path := os.environ.get("YEAR_TABLE")) is not None:
        kept = await lived(database, tmp_path / "kept", swept=False)
        assert kept[1].rows == months[-1].rows
        Path(path).write_text(written(months, kept))
