"""What a page of the journal costs among many lines, by filters, pairs of them, and words.

`make journal` runs it with ten million, and writes bench/journal.md.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest

from tests.scale.reading import Cost, Read, Reader
from tests.world import world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LINES = int(os.environ.get("JOURNAL_LINES", "100000"))
BATCH = 250_000
# One line in so many has the word `one<so many>`.
ODDS = (3, 20, 60, 250, 1_000, 10_000, 100_000)
ENTRIES = """
    INSERT INTO journal_entries (
        id, workspace_id, entry_type, severity, actor_type, agent_id, crew_id, summary, created_at
    )
    SELECT 'centry' || lpad(n::text, 20, '0'), $3,
        CASE WHEN n <= 2000 AND n % 10 = 0 THEN 'memory.corrected' ELSE 'type.' || n % 12 END,
        CASE WHEN n % 41 = 7 THEN 'error' WHEN n % 7 = 0 THEN 'warn' ELSE 'info' END,
        CASE WHEN n % 3 = 0 THEN 'user' ELSE 'agent' END,
        CASE WHEN n % 10 < 3 THEN 'agent' || n % 10 ELSE 'agent' || 10 + n % 200 END, 'crew' || n % 8,
        CASE WHEN n % 2 = 0 THEN 'heavy cargo sails' ELSE 'cargo heavy sails' END{odds}
            || ' ' || md5(n::text) || ' at berth ' || n % 5000 || ' since the tide of ' || n % 977,
        now() - ($4::bigint - n) * interval '3 seconds'
    FROM generate_series($1::bigint, $2::bigint) n
"""
TOLD = """
    INSERT INTO journal SELECT (line).* FROM (
        SELECT journal_line(
            workspace_id, created_at, 'je', id, entry_type, severity, actor_type, NULL, agent_id, crew_id, NULL, NULL,
            summary
        ) AS line
        FROM journal_entries
        WHERE id BETWEEN 'centry' || lpad($1::bigint::text, 20, '0') AND 'centry' || lpad($2::bigint::text, 20, '0')
    ) made
"""
NEVER = "/api/v1/journal?limit=100&q=sails+heavy"
"""Two words of which each line has both, and none has them beside each other: every line is looked at."""
DEAR = {
    "agent, crew, type and severity": 20_000,  # 1 of 840 has all four: twelve thousand lines of ten million
    "a word of 1 in 1,000": 16_000,  # each of the lines that have it is looked at
    "a word of 1 in 250 and an agent": 64_000,  # they never meet: all forty thousand with the word are looked at
}
"""Buffers of what is looked for line by line; of all else, a page takes 4,000 at most."""
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
    yield page(
        "agent, crew, type and severity", agent_id="agent1", crew_id="crew3", entry_type="type.7", severity="warn"
    )
    for odd in ODDS:
        yield page(f"a word of 1 in {odd:,}", q=f"one{odd}")
    yield page("a word that nobody said", q="nobody")
    yield page("a word of 1 in 250 and an agent", q="one250", agent_id="agent2")
    yield page("a word of 1 in 3 and errors", q="one3", severity="error")
    yield page("two words that are often beside each other", q="heavy cargo")


async def fill(superuser: "asyncpg.Connection[Any]", place: str) -> None:
    """Written past the triggers, and indexed at the end."""
    indexes = await superuser.fetch(INDEXES)
    for index in indexes:
        await superuser.execute(f"DROP INDEX {index['indexname']}")
    odds = "".join(f" || CASE WHEN n % {odd} = 1 THEN ' one{odd}' ELSE '' END" for odd in ODDS)
    for first in range(1, LINES + 1, BATCH):
        last = min(first + BATCH - 1, LINES)
        await superuser.execute(ENTRIES.format(odds=odds), first, last, place, LINES)
        await superuser.execute(TOLD, first, last)
    await superuser.execute("SET maintenance_work_mem = '1GB'")
    for index in indexes:
        await superuser.execute(index["indexdef"])
    await superuser.execute("VACUUM (ANALYZE) journal, journal_entries")


HEAD = """# The journal

What the first page of 100 entries costs in a workspace of {lines:,} entries ({size:,} MB with indexes). Written by
`make journal`. Milliseconds are of an answer over a socket, the median of several, and vary with what else the machine
does; buffers are pages of 8 KiB, and do not.

| page | ms | buffers |
| --- | --: | --: |
"""


async def test_a_page_costs_about_what_it_shows(database: Any, tmp_path: Path) -> None:
    costs: dict[str, Cost] = {}
    async with world_on(database, tmp_path, row_level_security=True) as world:
        superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
        try:
            await superuser.execute("SET session_replication_role = replica; SET statement_timeout = 0")
            await fill(superuser, world.workspace.id)
            size = await superuser.fetchval("SELECT pg_total_relation_size('journal') / 1048576")
            reader = Reader(world, LINES)
            for read in reads():
                costs[read.name] = await reader.cost(read)
            begun = time.perf_counter()
            never = await reader.client.get(f"{NEVER}&workspace_id={world.workspace.id}", timeout=120)
            took = (time.perf_counter() - begun) * 1000
        finally:
            await superuser.close()
    if (path := os.environ.get("JOURNAL_TABLE")) is not None:
        lines = [f"| {name} | {cost.p50:.1f} | {cost.buffers:,} |" for name, cost in costs.items()]
        lines.append(
            f"| two words of all lines that are never beside each other | {took:,.0f} ({never.status_code}) | |"
        )
        Path(path).write_text(HEAD.format(lines=LINES, size=size) + "\n".join(lines) + "\n")
    assert never.status_code in (200, 503)  # or the statement took as long as one may
    assert all(cost.scanned == set() for cost in costs.values())
    dear = {name: cost.buffers for name, cost in costs.items() if cost.buffers > DEAR.get(name, 4_000)}
    assert not dear
