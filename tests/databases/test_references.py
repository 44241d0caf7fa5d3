"""What a reference is read by before PostgreSQL has analyzed a table: an index that holds it, where there is one."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import asyncpg
import orjson
import pytest

from models.migrations.statistics import ASSUMES, analyze
from models.migrations.tables import metadata
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel.store.connection import connect
from tests.conftest import Database
from tests.models.rows import insert, of, workspace_rows

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

INDEXES = """
    SELECT ARRAY(SELECT relid::text FROM pg_partition_tree(i.indexrelid)) || i.indexrelid::regclass::text AS names,
        i.indrelid::regclass::text AS of,
        ARRAY(
            SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS key (number, place)
            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = key.number
            WHERE place <= i.indnkeyatts ORDER BY place
        ) AS keys,
        pg_get_expr(i.indpred, i.indrelid) AS predicate
    FROM pg_index i JOIN pg_am m ON m.oid = (SELECT relam FROM pg_class WHERE oid = i.indexrelid)
    WHERE m.amname = 'btree' AND i.indisvalid
"""


class Reference(NamedTuple):
    """A column that names a row of another table, in the same workspace."""

    table: str
    column: str
    live: bool
    """Whether the rows that are deleted are left out."""

    @property
    def condition(self) -> str:
        return f"workspace_id = $1 AND {self.column} = $2{' AND deleted_at IS NULL' if self.live else ''}"

    def __str__(self) -> str:
        return f"{self.table}.{self.column}{', live' if self.live else ''}"


def references() -> Iterator[Reference]:
    for table in metadata().sorted_tables:
        for key in table.foreign_key_constraints:
            columns = [column.name for column in key.columns]
            if len(columns) == 2 and "workspace_id" in columns:
                (column,) = set(columns) - {"workspace_id"}
                yield Reference(table.name, column, False)
                if "deleted_at" in table.c:
                    yield Reference(table.name, column, True)


def holds(index: asyncpg.Record, reference: Reference) -> bool:
    """Whether the index leads to the rows of a reference, and to no others."""
    keys = index["keys"][:2]
    leads = keys[:1] == [reference.column] or sorted(keys) == sorted(["workspace_id", reference.column])
    allowed = {None, f"({reference.column} IS NOT NULL)"} | ({"(deleted_at IS NULL)"} if reference.live else set())
    return leads and index["predicate"] in allowed


def named(plan: Any) -> Iterator[str]:
    if "Index Name" in plan:
        yield plan["Index Name"]
    for child in plan.get("Plans", ()):
        yield from named(child)


async def strays(database: Database) -> dict[str, list[str]]:
    """The references that are read past their index, and what by."""
    connection = await connect(database.url, {"crewship.workspaces": "w"})
    found = {}
    try:
        indexes = await connection.fetch(INDEXES)
        for number, reference in enumerate(references()):
            fitting = {
                name
                for index in indexes
                if index["of"] == reference.table and holds(index, reference)
                for name in index["names"]
            }
            if not fitting:
                continue
            await connection.execute(
                f"PREPARE q{number} (text, text) AS SELECT 1 FROM {reference.table} WHERE {reference.condition}"
            )
            shown = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE q{number} ('w', 'p')")
            taken = list(named((orjson.loads(shown) if isinstance(shown, str | bytes) else shown)[0]["Plan"]))
            if not taken or not set(taken) <= fitting:
                found[str(reference)] = taken
        return found
    finally:
        await connection.close()


@pytest.fixture
async def admin(database: Database) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database.server.dsn("postgres", database.name))
    yield connection
    await connection.close()


async def test_a_reference_is_read_by_its_index(database: Database, admin: Any) -> None:
    """While the tables are empty, and with the first rows in them: nobody has analyzed them."""
    if admin.get_server_version().major * 10_000 < ASSUMES:
        pytest.skip("owners of tables cannot set statistics there: analyze_what_changed() has to come first")
    assert len(list(references())) > 80
    assert await strays(database) == {}
    await insert(admin, *workspace_rows("ours"), *workspace_rows("theirs"))
    assert await strays(database) == {}


async def test_statistics_bring_a_reference_to_its_index_on_every_server(database: Database, admin: Any) -> None:
    reference = str(Reference("agents", "crew_id", True))
    for table in ("crews", "agents"):
        await admin.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    rows = workspace_rows("ours")
    here = {"workspace_id": of(rows, Crew).workspace_id}
    crews = [Crew(name=f"Crew {n}", slug=f"crew-{n}", **here) for n in range(40)]
    hands = [Agent(name=f"Hand {n}", slug=f"hand-{n}", crew_id=crews[n % 40].id, **here) for n in range(160)]
    await insert(admin, *rows, *crews, *hands)
    assert (reference in await strays(database)) == (admin.get_server_version().major * 10_000 < ASSUMES)
    await analyze(admin)
    assert reference not in await strays(database)
