"""`models/sql` is the only text of functions and triggers, and a start brings a database to it."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process import serve
from crewship.process.postgres import APPLICATION
from models import migrations
from models.migrations import revisions, sql
from tests.architecture.source import PACKAGES, ROOT, name_of, python_files, sql_files, strings
from tests.conftest import Database
from tests.world import settings_for

pytestmark = pytest.mark.anyio

FUNCTION = re.compile(
    r"(?P<above>^[^\n]*\n|\A)CREATE OR REPLACE FUNCTION (?P<name>\w+)\([^$]*?AS \$\$(?P<body>.*?)\$\$;$",
    re.MULTILINE | re.DOTALL,
)
TRIGGER = re.compile(r"^CREATE OR REPLACE TRIGGER (?P<name>\w+) [^;]*? ON (?P<table>\w+)\n?[^;]*;$", re.MULTILINE)
REVOKED = re.compile(r"^REVOKE ALL ON FUNCTION [^;]+ FROM PUBLIC;$", re.MULTILINE)
COMMENT = re.compile(r"^--.*$", re.MULTILINE)
DEFINES = re.compile(r"\bCREATE\s+(OR\s+REPLACE\s+)?(CONSTRAINT\s+)?(FUNCTION|PROCEDURE|TRIGGER)\b", re.IGNORECASE)
FUNCTIONS = "SELECT proname AS name, prosrc AS body FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
TRIGGERS = """
    SELECT tgname AS name, relname AS place FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
    WHERE NOT tgisinternal AND tgparentid = 0 AND relnamespace = 'public'::regnamespace
"""
CATALOG = """
    SELECT pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
"""
ADDED = "-- Returns 1.\nCREATE OR REPLACE FUNCTION added() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;\n"
ADDED_IS_THERE = "SELECT to_regprocedure('added()') IS NOT NULL"
NOTED = "SELECT obj_description('alembic_version'::regclass)"


def given(monkeypatch: pytest.MonkeyPatch, files: Mapping[str, str]) -> None:
    """A release with these files."""
    sql.digests.cache_clear()
    monkeypatch.setattr(sql, "texts", lambda: files)


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Any:
    yield
    monkeypatch.undo()
    sql.digests.cache_clear()


async def test_every_function_stands_in_one_file(database: Database) -> None:
    owner = await asyncpg.connect(database.owner_url)
    there = Counter((row["name"], row["body"]) for row in await owner.fetch(FUNCTIONS))
    await owner.close()
    found = [match for text in sql.texts().values() for match in FUNCTION.finditer(text)]
    assert Counter((match["name"], match["body"]) for match in found) == there
    assert len(there) > 60
    assert max(there.values()) == 1
    assert [match["name"] for match in found if not match["above"].startswith("-- ")] == []  # says what it promises


async def test_every_trigger_stands_in_one_file(database: Database) -> None:
    owner = await asyncpg.connect(database.owner_url)
    there = Counter((row["place"], row["name"]) for row in await owner.fetch(TRIGGERS))
    await owner.close()
    found = [match for text in sql.texts().values() for match in TRIGGER.finditer(text)]
    assert Counter((match["table"], match["name"]) for match in found) == there
    assert len(there) > 50
    assert max(there.values()) == 1


def test_nothing_else_stands_in_the_files() -> None:
    for subject, text in sql.texts().items():
        rest = REVOKED.sub("", TRIGGER.sub("", FUNCTION.sub("", text)))
        assert COMMENT.sub("", rest).strip() == "", subject
    assert len(sql.texts()) > 10


def test_nothing_else_defines_a_function_or_a_trigger() -> None:
    texts = [(name_of(path), text) for path in python_files(*PACKAGES) for text in strings(path)]
    texts += [(name_of(path), path.read_text()) for path in sql_files() if path.parent != sql.FOLDER]
    assert {name for name, text in texts if DEFINES.search(text)} == set()
    assert sum(name.startswith("models/migrations/") for name, _ in texts) > 100


def test_nothing_changes_a_text_by_parts() -> None:
    """A migration executes a file as it is: what a function says is not put together in the database or out of it."""
    for path in python_files("models"):
        assert not any("pg_get_functiondef" in text for text in strings(path)), path
    for path in (ROOT / "models" / "migrations" / "versions").glob("*.py"):
        assert ".replace(" not in path.read_text(), path
        assert "importlib" not in path.read_text(), path


async def test_all_bodies_hold(database: Database) -> None:
    """PostgreSQL looks at no body while files are brought, and at all of them here."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        before = sorted(row[0] for row in await owner.fetch(CATALOG))
        async with owner.transaction():
            await owner.execute(sql.PREPARE)
            await owner.execute("SET LOCAL check_function_bodies = on")
            for text in sql.texts().values():
                await owner.execute(text)
        assert sorted(row[0] for row in await owner.fetch(CATALOG)) == before
    finally:
        await owner.close()


async def test_functions_with_the_rights_of_the_owner_are_out_of_reach_of_callers(database: Database) -> None:
    """A schema that the caller may write in comes last, and nobody calls one who was not given it."""
    admin = await asyncpg.connect(database.server.dsn("postgres", database.name))
    try:
        found = await admin.fetch("""
            SELECT proname AS name, proconfig AS settings, proacl::text AS rights FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace AND prosecdef
        """)
        assert {row["name"] for row in found} >= {"partitions_of", "keep_partitions", "drop_partitions"}
        for row in found:
            assert "search_path=public, pg_temp" in row["settings"], row["name"]
            assert not re.search(r"[{,]=X/", row["rights"]), row["name"]
    finally:
        await admin.close()


async def test_a_start_executes_what_differs_and_nothing_else(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await asyncpg.connect(database.owner_url)
    try:
        # a file that differs in nothing would be seen by this
        await owner.execute("DROP FUNCTION change_list(jsonb)")
        files = {**sql.texts(), "added": ADDED}
        given(monkeypatch, files)
        await migrations.upgrade(database.owner_url, application_role=APPLICATION)
        assert await owner.fetchval(ADDED_IS_THERE)
        assert await owner.fetchval("SELECT to_regprocedure('change_list(jsonb)') IS NULL")
        assert json.loads(await owner.fetchval(NOTED))["files"] == sql.digests()
        given(monkeypatch, {**files, "added": ADDED.replace("SELECT 1", "SELECT 2")})
        await migrations.upgrade(database.owner_url, application_role=APPLICATION)
        assert await owner.fetchval("SELECT added()") == 2
    finally:
        await owner.close()


async def test_files_that_fail_change_nothing_and_are_executed_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await asyncpg.connect(database.owner_url)
    before, files = await owner.fetchval(NOTED), sql.texts()
    try:
        given(monkeypatch, {**files, "added": ADDED, "broken": "SELECT 1 / 0;"})
        with pytest.raises(asyncpg.DivisionByZeroError):
            await migrations.upgrade(database.owner_url)
        assert not await owner.fetchval(ADDED_IS_THERE)
        assert await owner.fetchval(NOTED) == before
        given(monkeypatch, {**files, "added": ADDED})
        await migrations.upgrade(database.owner_url)
        assert await owner.fetchval(ADDED_IS_THERE)
    finally:
        await owner.close()


async def test_functions_of_a_later_release_stay(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of the release before may be started again beside it."""
    owner = await asyncpg.connect(database.owner_url)
    try:
        noted = '{"release": "99.1.0", "files": {}}'
        await owner.execute(f"COMMENT ON TABLE alembic_version IS '{noted}'")
        given(monkeypatch, {**sql.texts(), "added": ADDED})
        await migrations.upgrade(database.owner_url)
        assert not await owner.fetchval(ADDED_IS_THERE)
        assert await owner.fetchval(NOTED) == noted
        assert not await migrations.lacks(owner)
    finally:
        await owner.close()


async def test_a_start_with_nothing_to_do_reads_the_digests_with_the_revision(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, connect = list[str](), asyncpg.connect

    async def listened(*args: Any, **kwargs: Any) -> Any:
        connection = await connect(*args, **kwargs)
        connection.add_query_logger(lambda query: said.append(query.query))
        return connection

    monkeypatch.setattr(asyncpg, "connect", listened)
    await migrations.upgrade(database.owner_url, application_role=APPLICATION)
    assert [query for query in said if re.match(r"\s*(INSERT|UPDATE|DELETE|CREATE|COMMENT)", query)] == []
    read = dict.fromkeys(query for query in said if re.match(r"SELECT .*alembic_version", query))
    assert [*read] == ["SELECT to_regclass('alembic_version') IS NULL", sql.STATE]


async def test_the_application_cannot_say_that_files_were_executed(database: Database) -> None:
    application = await asyncpg.connect(database.url)
    try:
        for forbidden in (
            "COMMENT ON TABLE alembic_version IS 'x'",
            "CREATE OR REPLACE FUNCTION change_list(changes jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT 1'",
            "DROP TRIGGER access ON users",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await application.execute(forbidden)
    finally:
        await application.close()


async def test_a_database_from_before_the_first_release_is_refused_in_one_sentence(
    database: Database, tmp_path: Path
) -> None:
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("UPDATE alembic_version SET version_num = '0101'")
    await owner.close()
    sentence = r"^the database is at revision 0101, from before the first release, and cannot be upgraded: [^.]+$"
    with pytest.raises(migrations.UnreleasedSchemaError, match=sentence):
        await migrations.upgrade(database.owner_url, application_role=APPLICATION)
    access = serve.Access(database.url, database.owner_url, APPLICATION)
    with pytest.raises(serve.StartError, match=sentence):
        await serve.migrate(settings_for(database.url, tmp_path), access)
    assert migrations.number("0101") < migrations.number(migrations.head())  # a process is not ready on it


def test_revisions_are_days() -> None:
    ordered = ["2026_12_01", "2026_12_01_2", "2026_12_01_10", "2026_12_02", "2027_01_01"]
    assert sorted(ordered, key=migrations.number) == ordered
    assert [match[1] for name in ordered if (match := migrations.NAMED.match(f"{name}_labels.py"))] == ordered
    at = datetime(2026, 12, 2, 23, 59, tzinfo=UTC)
    for last, following in (
        ("2026_12_01", "2026_12_02"),
        ("2026_12_02", "2026_12_02_1"),
        ("2026_12_02_9", "2026_12_02_10"),
        ("2026_12_03", "2026_12_03_1"),  # a clock that is behind
    ):
        assert revisions.next_after(last, at) == following
        assert migrations.number(following) > migrations.number(last)


def test_every_migration_is_named_by_its_revision() -> None:
    files = sorted((ROOT / "models" / "migrations" / "versions").glob("*.py"))
    for path in files:
        named = migrations.NAMED.match(path.name)
        assert named is not None, path
        assert f'revision = "{named[1]}"' in path.read_text().replace("'", '"'), path
    assert len(files) == len(migrations._revisions()) > 0
