"""What the application's role may do with each table, compared with what is declared; and the owner's functions."""

from collections.abc import AsyncIterator
from typing import cast

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION
from models.kernel import KeptDays
from models.migrations import upgrade
from models.migrations.grants import ADDED, CHANGED, EDITED, FUNCTIONS, Grant, erased_columns, grant, granted
from models.migrations.tables import metadata
from tests.conftest import Database
from tests.models.conftest import Seeded
from tests.models.rows import Connection

pytestmark = pytest.mark.anyio

RIGHTS = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
TABLES = """
    SELECT c.relname AS name, c.relispartition AS part,
        array_agg(r ORDER BY r) FILTER (WHERE has_table_privilege($1, c.oid, r)) AS rights
    FROM pg_class c CROSS JOIN unnest($2::text[]) r
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') GROUP BY 1, 2
"""
COLUMNS = """
    SELECT c.relname AS name, r AS right, array_agg(a.attname::text ORDER BY a.attname) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    CROSS JOIN unnest($2::text[]) r
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND has_column_privilege($1, c.oid, a.attnum, r) AND NOT has_table_privilege($1, c.oid, r)
    GROUP BY 1, 2
"""
DEFINERS = """
    SELECT p.oid::regprocedure::text AS name, p.prosecdef AS definer, p.proconfig AS settings,
        EXISTS (
            SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0
        ) AS anybody,
        has_function_privilege($1, p.oid, 'EXECUTE') AS application
    FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database.owner_url)
    try:
        yield connection
    finally:
        await connection.close()


async def rights(owner: Connection) -> dict[str, frozenset[str]]:
    """Of each table that is no partition."""
    rows = await owner.fetch(TABLES, APPLICATION, RIGHTS)
    assert {row["name"]: row["rights"] for row in rows if row["part"] and row["rights"]} == {}, "by a partition's name"
    return {row["name"]: frozenset(row["rights"] or ()) for row in rows if not row["part"]}


async def columns(owner: Connection) -> dict[str, dict[str, list[str]]]:
    found = dict[str, dict[str, list[str]]]()
    for row in await owner.fetch(COLUMNS, APPLICATION, ["SELECT", "INSERT", "UPDATE", "REFERENCES"]):
        found.setdefault(row["name"], {})[row["right"]] = row["columns"]
    return found


DECLARED = {name: granted(name).rights for name in metadata().tables} | {"alembic_version": frozenset({"SELECT"})}
ERASED = {name: {"UPDATE": erased_columns(name)} for name, given in ADDED.items() if given.erased}


async def test_each_table_is_granted_as_declared(owner: Connection) -> None:
    assert await rights(owner) == DECLARED
    assert await columns(owner) == ERASED
    assert all(columns["UPDATE"] for columns in ERASED.values())


async def test_what_was_granted_beyond_that_is_taken_back(database: Database, owner: Connection) -> None:
    """As earlier releases did, and as default privileges of the owner do."""
    await owner.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {APPLICATION}")
    await owner.execute(f"GRANT UPDATE (data) ON audit_logs TO {APPLICATION}")
    await upgrade(database.owner_url, application_role=APPLICATION)
    assert await rights(owner) == DECLARED
    assert await columns(owner) == ERASED


async def test_a_new_partition_is_reached_through_its_table_alone(owner: Connection) -> None:
    assert await owner.fetchval("SELECT keep_partitions('audit_logs', 'month', 9)") > 0
    assert await rights(owner) == DECLARED


def test_a_table_whose_rows_are_not_edited_says_what_its_writers_need() -> None:
    """Rows that are edited have a time or a version of the edit, or are soft-deleted."""
    marks = {"updated_at", "version", "deleted_at"}
    plain = {name for name, table in metadata().tables.items() if not marks & set(table.c.keys())}
    assert plain == ADDED.keys() | CHANGED
    assert not ADDED.keys() & CHANGED
    assert all(given.rights < EDITED for given in ADDED.values())


@pytest.mark.parametrize(
    ("table", "right"),
    [(name, right) for name, given in sorted(ADDED.items()) for right in sorted(EDITED - given.rights)],
)
async def test_the_service_is_refused_what_its_writers_do_not_need(
    seeded: Seeded, application: Connection, table: str, right: str
) -> None:
    await application.execute("SELECT set_config('crewship.workspaces', '*', true)")
    fixed = next(c.name for c in metadata().tables[table].columns if c.name not in erased_columns(table))
    statement = {
        "SELECT": f"SELECT FROM {table}",
        "INSERT": f"INSERT INTO {table} DEFAULT VALUES",
        "UPDATE": f"UPDATE {table} SET {fixed} = {fixed}",
        "DELETE": f"DELETE FROM {table}",
    }[right]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await application.execute(statement)


async def test_functions_of_the_owner_look_where_they_were_made_and_are_called_by_the_service_alone(
    owner: Connection,
) -> None:
    found = await owner.fetch(DEFINERS, APPLICATION)
    paths = {row["name"]: [s for s in row["settings"] or () if s.startswith("search_path=")] for row in found}
    definers = {row["name"] for row in found if row["definer"]}
    assert definers == {await owner.fetchval("SELECT $1::regprocedure::text", signature) for signature in FUNCTIONS}
    for row in found:
        if row["definer"] or paths[row["name"]]:
            (path,) = paths[row["name"]]
            assert path.endswith(", pg_temp"), f"{row['name']}: temporary tables come first"
            assert "$user" not in path, row["name"]
    assert [row["name"] for row in found if row["definer"] and row["anybody"]] == []
    assert {row["name"] for row in found if row["definer"] and row["application"]} == definers


async def test_a_temporary_table_of_the_service_stands_for_none_of_the_owners(
    database: Database, owner: Connection
) -> None:
    """Where the database lets it make any, as one that was not made for this service does."""
    await owner.execute("INSERT INTO kept_days (name, days) VALUES ('audit_logs', 0)")
    admin = await asyncpg.connect(database.server.dsn("postgres", database.name))
    await admin.execute(f'GRANT TEMPORARY ON DATABASE "{database.name}" TO {APPLICATION}')
    await admin.close()
    application = await asyncpg.connect(database.url)
    try:
        for statement in (
            "CREATE TEMPORARY TABLE kept_days (name text, days integer)",
            "INSERT INTO pg_temp.kept_days VALUES ('audit_logs', 1)",
            "CREATE TEMPORARY TABLE events (id integer, created_at timestamptz) PARTITION BY RANGE (created_at)",
            "CREATE TEMPORARY TABLE users PARTITION OF pg_temp.events FOR VALUES FROM ('2000-01-01') TO ('2000-02-01')",
            "GRANT SELECT ON pg_temp.kept_days, pg_temp.events TO PUBLIC",
        ):
            await application.execute(statement)
        names = [row["name"] for row in await application.fetch("SELECT name FROM partitions_of('events')")]
        assert names
        assert "users" not in names
        assert await application.fetchval("SELECT drop_partitions('audit_logs', now() + interval '1 year')") == 0
    finally:
        await application.close()


async def test_the_days_of_the_operator_are_noted(database: Database, owner: Connection) -> None:
    kept = f"SELECT days FROM {KeptDays.__tablename__} WHERE name = 'audit_logs'"
    for days, noted in ((None, None), (30, 30), (None, 30), (0, 0), (400, 400)):
        await upgrade(database.owner_url, application_role=APPLICATION, audit_days=days)
        assert await owner.fetchval(kept) == noted


async def test_a_table_can_be_closed_to_the_application(owner: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cast(dict[str, Grant], ADDED), "job_steps", Grant(frozenset()))
    transaction = owner.transaction()
    await transaction.start()
    await grant(owner, APPLICATION)
    assert await rights(owner) == DECLARED | {"job_steps": frozenset()}
    await transaction.rollback()
    assert await rights(owner) == DECLARED
