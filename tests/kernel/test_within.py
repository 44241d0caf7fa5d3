"""One statement that sees the rows of a scope: nothing of that scope is left for the next one on the connection."""

import re

import asyncpg
import pytest

from resolvers.kernel.store.database import database
from tests.process.commands import ROOT
from tests.world import World

pytestmark = pytest.mark.anyio

SIGHT = "SELECT current_setting('crewship.workspaces', true)"
SEEN = "SELECT DISTINCT workspace_id FROM memberships WHERE $1::int > 0 ORDER BY 1"
ALLOW = """
    DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$
"""
TIMES = 4  # the first ones prepare the statement, the others send it in one round trip


async def test_it_sees_the_scope_and_the_next_one_does_not(world: World) -> None:
    async with database.lease() as conn:
        conn.sees(world.workspace.id)
        for _ in range(TIMES):
            everybody = [row[0] for row in await conn.within("*", SEEN, 1)]
            assert len(everybody) > 1
            assert await conn.fetchval(SIGHT) == world.workspace.id
            assert [row[0] for row in await conn.fetch(SEEN, 1)] == [world.workspace.id]
            assert await conn.within("", SEEN, 1) == []
            assert not conn.is_in_transaction()


async def test_what_it_writes_is_committed(world: World) -> None:
    await world.database.execute(ALLOW)
    async with database.lease() as conn:
        await conn.execute("CREATE TEMPORARY TABLE written (number int UNIQUE)")
        for number in range(TIMES):
            assert await conn.within("*", "INSERT INTO written VALUES ($1)", number) == []
        assert await conn.fetchval("SELECT count(*) FROM written") == TIMES


async def test_a_statement_that_is_refused_leaves_nothing(world: World) -> None:
    async with database.lease() as conn:
        conn.sees("")
        for _ in range(TIMES):
            with pytest.raises(asyncpg.DivisionByZeroError):
                await conn.within("*", "SELECT 1 / $1::int", 0)
            assert await conn.fetchval(SIGHT) == ""
            assert await conn.fetch(SEEN, 1) == []


async def test_a_value_that_cannot_be_sent_leaves_nothing(world: World) -> None:
    """The scope was sent before it: the next statement would be of the same transaction."""
    async with database.lease() as conn:
        for _ in range(TIMES):
            await conn.within("*", SEEN, 1)
        with pytest.raises(asyncpg.DataError):
            await conn.within("*", SEEN, "none")
        assert await conn.fetchval(SIGHT) == ""
        assert await conn.fetch(SEEN, 1) == []


async def test_no_session_keeps_a_scope(world: World) -> None:
    """Another client of a pooler would find it there."""
    raw = "SELECT current_setting('crewship.workspaces', true), current_setting('crewship.principal', true)"
    async with database.lease() as conn:
        conn.sees(world.workspace.id)
        conn.acts_for("somebody")
        for _ in range(TIMES):
            assert tuple(await conn.fetchrow(raw)) == (world.workspace.id, "somebody")
        conn.sees(None)
        assert tuple(await conn.fetchrow(raw)) == ("", "")
        await conn.begin_with(SEEN, 1)
        assert await conn.fetch(SEEN, 1) == []
        conn.sees(world.workspace.id)
        assert [row[0] for row in await conn.fetch(SEEN, 1)] == [world.workspace.id]
        conn.sees(world.other.id)
        assert [row[0] for row in await conn.fetch(SEEN, 1)] == [world.other.id]
        await conn.execute("COMMIT")
        conn.sees(None)
        assert tuple(await conn.fetchrow(raw)) == ("", "")


async def test_a_transaction_begins_with_the_scope(world: World) -> None:
    async with database.lease() as conn:
        conn.sees(world.workspace.id)
        for end in ("COMMIT", "ROLLBACK") * 2:
            assert [row[0] for row in await conn.begin_with(SEEN, 1, many=True)] == [world.workspace.id]
            assert [row[0] for row in await conn.fetch(SEEN, 1)] == [world.workspace.id]
            await conn.execute(end)
        async with conn.transaction():
            assert [row[0] for row in await conn.fetch(SEEN, 1)] == [world.workspace.id]


async def test_what_was_leased_sees_nothing_at_the_next_lease(world: World) -> None:
    async with database.lease() as conn:
        conn.sees(world.workspace.id)
        assert await conn.fetch(SEEN, 1) != []
    async with database.lease() as again:
        assert again is conn
        assert await again.fetch(SEEN, 1) == []


async def test_tables_that_change_are_seen(world: World) -> None:
    await world.database.execute(ALLOW)
    async with database.lease() as conn:
        await conn.execute("CREATE TEMPORARY TABLE changing (number int); INSERT INTO changing VALUES (1)")
        for _ in range(TIMES):
            await conn.within("*", "SELECT * FROM changing WHERE number = $1", 1)
        await conn.execute("ALTER TABLE changing ADD COLUMN word text DEFAULT 'a'")
        found = await conn.within("*", "SELECT * FROM changing WHERE number = $1", 1)
        assert [tuple(row) for row in found] == [(1, "a")]


SETS_SESSION = re.compile(r"set_config\(\s*'crewship\.(?:workspaces|principal)',[^;\"]*?,\s*false\s*\)", re.IGNORECASE)


def test_no_text_sets_a_scope_beyond_its_transaction() -> None:
    folders = ("crewship", "models", "resolvers", "runtime")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".sql")]
    assert len(files) > 500
    assert [str(path) for path in files if SETS_SESSION.search(path.read_text())] == []
    assert SETS_SESSION.search("PERFORM set_config('crewship.workspaces', coalesce(before, ''), false);")
