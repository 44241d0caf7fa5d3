"""What a search in conversations costs among many messages of one agent.

`make search` runs it with a million, and writes bench/search.md.
"""

import os
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncpg
import pytest

from tests.conftest import Database
from tests.staff.chats.rooms import agent_of, chat_of
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
MESSAGES = int(os.environ.get("SEARCH_MESSAGES", "20000"))
BAR = 100.0  # milliseconds, of a machine that does nothing else
ODDS = (3, 20, 250, 1_000, 10_000, 100_000)
SAID = """
    INSERT INTO messages (id, workspace_id, chat_id, seq, agent_id, role, content, created_at)
    SELECT 'msg_' || lpad(n::text, 12, '0'), $2, $3, n, $4, CASE WHEN n % 2 = 0 THEN 'user' ELSE 'assistant' END,
        CASE WHEN n % 2 = 0 THEN 'heavy cargo sails' ELSE 'cargo heavy sails' END{odds}
            || ' ' || md5(n::text) || ' at berth ' || n % 5000 || ' since the tide of ' || n % 977,
        now() - ($1::bigint - n) * interval '30 seconds'
    FROM generate_series(1, $1::bigint) n
"""
LINES = "INSERT INTO journal SELECT (line).* FROM (SELECT journal_lines(m) AS line FROM messages m ORDER BY seq) told"
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'journal' AND indexname NOT LIKE '%pkey'"
SEARCHES: dict[str, tuple[str, str]] = {
    **{f"a word of 1 in {odd:,}": (f"one{odd}", "phrase") for odd in ODDS},
    "the word of the oldest message alone": ("oldestofall", "phrase"),
    "a word that nobody said": ("nobody", "phrase"),
    "two words that are often beside each other": ("heavy cargo", "phrase"),
    "two words of all messages that are never beside each other": ("sails heavy", "phrase"),
    "web: a word of 1 in 20 and one of 1 in 250": ("one20 one250", "websearch"),
    "web: a word of 1 in 1,000 or one of 1 in 10,000": ("one1000 or one10000", "websearch"),
    "web: a phrase, without a word of 1 in 3": ('"heavy cargo" -one3', "websearch"),
    "web: a word of all, without one of all": ("cargo -sails", "websearch"),
    "web: a rare word without a common one": ("one100000 -one3", "websearch"),
}
HEAD = """# Search in conversations

A search among {messages:,} messages of one agent, written by `make search` at a load of {load:.0f} on {cores} cores.
Milliseconds are of an answer over a socket, the median of seven and the worst of them; the first of each is left out.

| searched | found | ms | worst |
| --- | --: | --: | --: |
"""
DOCUMENT = """query($ws: ID!, $a: ID!, $q: String!, $s: SearchSyntax) {
    searchConversations(workspaceId: $ws, agentId: $a, query: $q, syntax: $s, first: 20) { nodes { id highlight } }
}"""


async def fill(superuser: "asyncpg.Connection[Any]", world: World, agent_id: str, chat_id: str) -> None:
    """Written past the triggers, and indexed at the end."""
    await superuser.execute("SET session_replication_role = replica; SET statement_timeout = 0")
    indexes = await superuser.fetch(INDEXES)
    for index in indexes:
        await superuser.execute(f"DROP INDEX {index['indexname']}")
    odds = "".join(f" || CASE WHEN n % {odd} = 1 THEN ' one{odd}' ELSE '' END" for odd in ODDS)
    odds += " || CASE WHEN n = 1 THEN ' oldestofall' ELSE '' END"
    await superuser.execute(SAID.format(odds=odds), MESSAGES, world.workspace.id, chat_id, agent_id)
    await superuser.execute(LINES)
    await superuser.execute("SET maintenance_work_mem = '1GB'")
    for index in indexes:
        await superuser.execute(index["indexdef"])
    await superuser.execute("VACUUM (ANALYZE) journal, messages")


async def test_a_search_costs_no_more_than_it_shows(database: Database, tmp_path: Path) -> None:
    shown: list[str] = []
    medians: dict[str, float] = {}
    superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
    async with world_on(database, tmp_path, row_level_security=True) as world:
        try:
            agent = await agent_of(world)
            await fill(superuser, world, agent.id, (await chat_of(world, agent)).id)
            for name, (query, syntax) in SEARCHES.items():
                took, found = [], 0
                for _ in range(8):
                    begun = perf_counter()
                    answer = await world.graphql(world.viewer, DOCUMENT, {"a": agent.id, "q": query, "s": syntax})
                    took.append((perf_counter() - begun) * 1000)
                    found = len(answer["data"]["searchConversations"]["nodes"])
                warm = sorted(took[1:])
                medians[name] = warm[len(warm) // 2]
                shown.append(f"| {name} | {found} | {medians[name]:.1f} | {warm[-1]:.1f} |")
                if "oldest" in name:
                    assert found == 1, "the rarest word is found wherever it stands"
        finally:
            await superuser.close()
    if (path := os.environ.get("SEARCH_TABLE")) is not None:
        facts = {"messages": MESSAGES, "load": os.getloadavg()[0], "cores": os.cpu_count()}
        Path(path).write_text(HEAD.format(**facts) + "\n".join(shown) + "\n")
    if os.environ.get("SEARCH_BAR"):
        assert {name: ms for name, ms in medians.items() if ms > BAR} == {}
