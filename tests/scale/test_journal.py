"""What a page of the journal costs among many lines, by filters, pairs of them, and words.

`make journal` runs it with ten million, and writes bench/journal.md. JOURNAL_KEPT names a directory in which the lines
are kept for the next run.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION, OWNER, EmbeddedPostgres
from models.migrations import upgrade
from runtime.engine.dbos_tables import prepare_engine
from tests.conftest import Database
from tests.scale.reading import Cost, Read, Reader
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LINES = int(os.environ.get("JOURNAL_LINES", "100000"))
TOLD_ONCE = 250_000
"""Of so many lines each has an entry of its own; more of them are the same ones, at earlier times."""
# One line in so many has the word `one<so many>`.
ODDS = (3, 20, 60, 250, 1_000, 10_000, 100_000)
PLACE = "cplacekept00000000000000"
ENTRIES = """
    INSERT INTO journal_entries (
        id, workspace_id, entry_type, severity, actor_type, agent_id, crew_id, summary, created_at
    )
    SELECT 'centry' || lpad(n::text, 20, '0'), $2,
        CASE WHEN n <= 2000 AND n % 10 = 0 THEN 'memory.corrected' ELSE 'type.' || n % 12 END,
        CASE WHEN n % 41 = 7 THEN 'error' WHEN n % 7 = 0 THEN 'warn' ELSE 'info' END,
        CASE WHEN n % 3 = 0 THEN 'user' ELSE 'agent' END,
        CASE WHEN n % 10 < 3 THEN 'agent' || n % 10 ELSE 'agent' || 10 + n % 200 END, 'crew' || n % 8,
        CASE WHEN n % 2 = 0 THEN 'heavy cargo sails' ELSE 'cargo heavy sails' END{odds}
            || ' ' || md5(n::text) || ' at berth ' || n % 5000 || ' since the tide of ' || n % 977,
        now() - ($1::bigint - n) * interval '3 seconds'
    FROM generate_series(1, $1::bigint) n
"""
TOLD = """
    CREATE TEMPORARY TABLE told AS SELECT (line).* FROM (
        SELECT journal_line(
            workspace_id, created_at, 'je', id, entry_type, severity, actor_type, NULL, agent_id, crew_id, NULL, NULL,
            summary
        ) AS line
        FROM journal_entries
    ) made
"""
EARLIER = """
    INSERT INTO journal SELECT place, time.at,
        'j' || lpad(to_hex((extract(epoch FROM time.at) * 1000000)::bigint), 14, '0') || substr(id, 16), kind, row_id,
        CASE WHEN entry_type = 'memory.corrected' AND NOT $3 THEN 'type.3' ELSE entry_type END,
        severity, priority, actor_type, actor_id, crew_id, agent_id, mission_id, trace_id, words, xid
    FROM told, LATERAL (SELECT told.at - $1::bigint * $2::bigint * interval '3 seconds' AS at) time ORDER BY told.at
"""
WRITTEN = """
    INSERT INTO journal_entries (id, workspace_id, entry_type, severity, actor_type, agent_id, crew_id, summary)
    SELECT 'cwritten' || $2 || n, $1, 'type.' || n % 12, 'info', 'agent', 'agent' || n % 200, 'crew' || n % 8,
        (SELECT string_agg('word' || (n * k) % 4999, ' ') FROM generate_series(1, 60) k)
    FROM generate_series(1, 250) n
"""
MOST = 8_000
"""Buffers of a page at most, whatever is asked. In the time that a page looks, a quick machine reads all lines."""
INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'journal' AND indexname NOT LIKE '%pkey'
"""


def reads() -> Iterator[Read]:
    def page(name: str, **filters: str) -> Read:
        return Read(name, f"/api/v1/journal?{urlencode({'limit': '100'} | filters)}", rows=100)

    yield page("first page")
    yield page("an agent with 10 %", agent_id="agent1")
    yield page("an agent with 0.35 %", agent_id="agent77")
    yield page("a type of the oldest 2,000", entry_type="memory.corrected")
    yield page("two agents", agent_ids="agent1,agent77")
    yield page("errors (2.5 %)", severity="error")
    yield page("errors of an agent with 10 %", severity="error", agent_id="agent1")
    yield page("agent and type that never meet", agent_id="agent1", entry_type="memory.corrected")
    yield page("agent and crew that never meet", agent_id="agent1", crew_id="crew0")
    yield page("without any type that there is", exclude_entry_type=",".join(f"type.{n}" for n in range(12)))
    yield page(
        "agent, crew, type and severity", agent_id="agent1", crew_id="crew3", entry_type="type.7", severity="warn"
    )
    for odd in ODDS:
        yield page(f"a word of 1 in {odd:,}", q=f"one{odd}")
    yield page("a word that nobody said", q="nobody")
    yield page("a word of 1 in 250 and an agent that never said it", q="one250", agent_id="agent2")
    yield page("a word of 1 in 20 and an agent that never said it", q="one20", agent_id="agent2")
    yield page("a word of 1 in 3 and errors", q="one3", severity="error")
    yield page("two words that are often beside each other", q="heavy cargo")
    yield page("two words of all lines that are never beside each other", q="sails heavy")
    yield page("three words, never together, but often two and two", q="cargo heavy cargo")


async def fill(superuser: "asyncpg.Connection[Any]") -> None:
    """Written past the triggers, and indexed at the end."""
    indexes = await superuser.fetch(INDEXES)
    for index in indexes:
        await superuser.execute(f"DROP INDEX {index['indexname']}")
    await superuser.execute("TRUNCATE journal, journal_entries")
    odds = "".join(f" || CASE WHEN n % {odd} = 1 THEN ' one{odd}' ELSE '' END" for odd in ODDS)
    once = min(LINES, TOLD_ONCE)
    await superuser.execute(ENTRIES.format(odds=odds), once, PLACE)
    await superuser.execute(TOLD)
    for earlier in reversed(range(LINES // once)):
        await superuser.execute(EARLIER, earlier, once, earlier == LINES // once - 1)
    await superuser.execute("SET maintenance_work_mem = '1GB'")
    for index in indexes:
        await superuser.execute(index["indexdef"])
    await superuser.execute("VACUUM (ANALYZE) journal, journal_entries")


@pytest.fixture
def filled(request: pytest.FixtureRequest) -> Iterator[Database]:
    directory = os.environ.get("JOURNAL_KEPT")
    if directory is None:
        yield request.getfixturevalue("database")
        return
    server = EmbeddedPostgres(Path(directory), durable=False)
    made = Database("journal", server.start())
    try:
        asyncio.run(_prepare(made))
        yield made
    finally:
        server.stop()


async def _prepare(database: Database) -> None:
    admin = await asyncpg.connect(database.server.dsn("postgres", "postgres"))
    if not await admin.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", database.name):
        await admin.execute(f"CREATE DATABASE {database.name} OWNER {OWNER}")
    await admin.close()
    await upgrade(database.owner_url, application_role=APPLICATION)
    await prepare_engine(database.owner_url, APPLICATION)
    superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
    await superuser.execute("SET session_replication_role = replica")
    for table in ("workspaces", "users", "memberships", "cli_tokens"):  # of a world that was there before
        await superuser.execute(f"DELETE FROM {table}")
    await superuser.close()


async def take_over(superuser: "asyncpg.Connection[Any]", world: World) -> None:
    """The lines become those of the world's workspace."""
    for table, column in (("memberships", "workspace_id"), ("workspaces", "id")):
        moved = f"UPDATE {table} SET {column} = $1 WHERE {column} = $2"
        await superuser.execute(moved, PLACE, world.workspace.id)
    world.workspace.id = PLACE


async def written(superuser: "asyncpg.Connection[Any]") -> float:
    """Entries a second, each told by its trigger; they are taken back."""
    await superuser.execute("SET session_replication_role = origin")
    undone = superuser.transaction()
    await undone.start()
    begun = time.perf_counter()
    for number in range(4):
        await superuser.execute(WRITTEN, PLACE, f"{number}n")
    took = time.perf_counter() - begun
    await undone.rollback()
    return 1000 / took


HEAD = """# The journal

What the first page of 100 entries costs in a workspace of {lines:,} entries ({size:,} MB with indexes, of which
{terms:,} MB are the one of terms). Written by `make journal`, at a load of {load:.0f} on {cores} cores. Milliseconds
are of an answer over a socket, the median of several, and vary with what else the machine does; buffers are pages of
8 KiB, and vary only where a page ends because it took long enough: such a page *goes on*, and has a cursor.
{rate:,.0f} entries of 60 words were written in a second.

| page | entries | ms | buffers |
| --- | --: | --: | --: |
"""


async def test_a_page_costs_about_what_it_shows(filled: Database, tmp_path: Path) -> None:
    costs: dict[str, Cost] = {}
    shown: dict[str, str] = {}
    superuser = await asyncpg.connect(filled.server.dsn("postgres", filled.name))
    async with world_on(filled, tmp_path, row_level_security=True) as world:
        try:
            await superuser.execute("SET session_replication_role = replica; SET statement_timeout = 0")
            if await superuser.fetchval("SELECT count(*) FROM journal WHERE place = $1", PLACE) != LINES:
                await fill(superuser)
            await take_over(superuser, world)
            reader = Reader(world, LINES)
            for read in reads():
                costs[read.name] = await reader.cost(read)
                page = (await reader.ask(read, None)).json()
                goes_on = page["next_cursor"] and page["count"] < 100
                shown[read.name] = f"{page['count']}{', goes on' if goes_on else ''}"
            facts = {
                "size": await superuser.fetchval("SELECT pg_total_relation_size('journal') / 1048576"),
                "terms": await superuser.fetchval("SELECT pg_relation_size('journal_terms_idx') / 1048576"),
                "load": os.getloadavg()[0],
                "cores": os.cpu_count(),
                "rate": await written(superuser),
            }
        finally:
            await superuser.close()
    if (path := os.environ.get("JOURNAL_TABLE")) is not None:
        lines = [f"| {name} | {shown[name]} | {cost.p50:.1f} | {cost.buffers:,} |" for name, cost in costs.items()]
        Path(path).write_text(HEAD.format(lines=LINES, **facts) + "\n".join(lines) + "\n")
    assert all(cost.scanned == set() for cost in costs.values())
    assert {name: cost.buffers for name, cost in costs.items() if cost.buffers > MOST} == {}
