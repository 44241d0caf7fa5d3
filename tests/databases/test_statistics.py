"""Tables of a fresh instance have statistics soon: the embedded server's settings, the parameters of each table and the
service itself see to it.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION
from models.migrations import statistics, upgrade
from models.staff.crews import Crew
from resolvers.kernel.background.analysis import analyze
from tests.conftest import Database
from tests.models.rows import insert, of, workspace_rows
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
SOON = 40.0  # seconds; a server of tests has the databases of several tests to look after
KNOWN = "SELECT reltuples::int FROM pg_class WHERE oid = to_regclass($1)"
GIVEN = [f"{name}={value}" for name, value in statistics.PARAMETERS.items()]
WITHOUT = f"""
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND NOT coalesce(reloptions, '{{}}') @> ARRAY{GIVEN} ORDER BY 1
"""


@pytest.mark.slow
async def test_fifty_crews_are_analyzed(world: World) -> None:
    await world.add(
        *[Crew(workspace_id=world.workspace.id, name=f"Crew {n}", slug=f"crew-{n}") for n in range(50)],
    )
    analyzed = (
        "SELECT last_autoanalyze IS NOT NULL AND n_mod_since_analyze = 0 FROM pg_stat_user_tables"
        " WHERE relname = 'crews'"
    )
    async with asyncio.timeout(SOON):
        while not await world.database.fetchval(analyzed):
            await asyncio.sleep(0.2)
    assert await world.database.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'crews'") == 50


# ---- whatever the server's settings are: autovacuum leaves these tables alone ----------------------------------------


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.server.dsn("postgres", database.name))
    for table in ("crews", "labels"):
        await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    yield connection
    await connection.close()


async def filled(admin: Any, labels: int) -> None:
    rows = workspace_rows("ours")
    await insert(admin, *rows)
    await admin.execute(
        "INSERT INTO labels (id, workspace_id, name, color, version)"
        " SELECT 'l' || n, $1, 'label ' || n, 'red', 1 FROM generate_series(2, $2) n",
        of(rows, Crew).workspace_id,
        labels,
    )
    await admin.execute("SELECT pg_stat_force_next_flush()")


async def analyzed(url: str) -> list[str]:
    """What the application's role has analyzed, until nothing was due."""
    connection = await asyncpg.connect(url)
    try:
        found = []
        while (table := await connection.fetchval(statistics.ANALYZE)) is not None:
            found.append(table)
        return found
    finally:
        await connection.close()


async def test_every_table_says_when_autovacuum_analyzes_it(database: Database, admin: Any) -> None:
    assert await admin.fetch(WITHOUT) == []
    await admin.execute("SELECT bare_partition('events', 'events_made_by_a_clock')")
    assert await admin.fetch(WITHOUT) == []
    await admin.execute("CREATE TABLE of_a_later_migration (id text)")
    await admin.execute("CREATE TABLE set_by_somebody (id text) WITH (autovacuum_analyze_threshold = 7)")
    assert [row[0] for row in await admin.fetch(WITHOUT)] == ["of_a_later_migration", "set_by_somebody"]
    await statistics.prepare(admin)
    assert [row[0] for row in await admin.fetch(WITHOUT)] == ["set_by_somebody"]


@pytest.mark.slow
async def test_the_service_analyzes_what_has_changed(database: Database, admin: Any) -> None:
    await filled(admin, 20)
    assert await analyzed(database.url) == []
    await filled_with(admin, "l21")
    assert await analyzed(database.url) == ["public.labels"]
    assert await admin.fetchval(KNOWN, "labels") == 21
    for number in range(22):
        assert await analyzed(database.url) == [], number
        await filled_with(admin, f"more {number}")
    assert await analyzed(database.url) == ["public.labels"]
    assert await admin.fetchval(KNOWN, "labels") == 43


async def filled_with(admin: Any, name: str) -> None:
    await admin.execute(
        "INSERT INTO labels (id, workspace_id, name, color, version)"
        " SELECT replace($1::text, ' ', ''), workspace_id, $1, 'red', 1 FROM labels LIMIT 1",
        name,
    )
    await admin.execute("SELECT pg_stat_force_next_flush()")


async def test_one_process_analyzes_at_a_time_and_waits_for_nobody(database: Database, admin: Any) -> None:
    await filled(admin, 50)
    async with asyncio.timeout(10):
        async with admin.transaction():
            assert await admin.fetchval(statistics.ANALYZE) == "public.labels"
            assert await analyzed(database.url) == []
        await filled_more(admin)
        async with admin.transaction():
            await admin.execute("LOCK TABLE labels IN SHARE UPDATE EXCLUSIVE MODE")
            assert await analyzed(database.url) == []
        assert await analyzed(database.url) == ["public.labels"]


async def filled_more(admin: Any) -> None:
    await admin.execute("UPDATE labels SET color = 'blue'")
    await admin.execute("UPDATE labels SET color = 'green'")
    await admin.execute("SELECT pg_stat_force_next_flush()")


async def test_only_the_role_of_the_application_may_and_no_table_of_its_own_misleads(
    database: Database, admin: Any
) -> None:
    assert not await admin.fetchval("SELECT has_function_privilege('public', 'analyze_what_changed()', 'EXECUTE')")
    await filled(admin, 50)
    await admin.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO PUBLIC")  # as another's server may
    application = await asyncpg.connect(database.url)
    try:
        for name in ("pg_class", "pg_namespace", "pg_locks", "pg_database"):
            await application.execute(f"CREATE TEMP TABLE {name} (oid oid)")
        assert await application.fetchval(statistics.ANALYZE) == "public.labels"
    finally:
        await application.close()


async def test_a_start_analyzes_what_a_restore_or_a_migration_has_filled(database: Database, admin: Any) -> None:
    await filled(admin, 50)
    assert await admin.fetchval(KNOWN, "labels") == -1
    await upgrade(database.owner_url, application_role=APPLICATION)
    assert await admin.fetchval(KNOWN, "labels") == 50


async def test_a_clock_analyzes(world: World) -> None:
    await world.database.execute("ALTER TABLE crews SET (autovacuum_enabled = off)")
    await world.add(
        *[Crew(workspace_id=world.workspace.id, name=f"Ship {n}", slug=f"ship-{n}") for n in range(200)],
    )
    await world.database.execute("SELECT pg_stat_force_next_flush()")
    await analyze()
    assert await world.database.fetchval(KNOWN, "crews") >= 200
