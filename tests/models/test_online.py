"""Migrations while other processes read and write, and releases on the tables of a later one."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import asyncpg
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from crewship.process import serve
from crewship.process.postgres import APPLICATION
from models import migrations
from models.migrations import planning, revisions
from tests.conftest import Database
from tests.world import settings_for

pytestmark = pytest.mark.anyio
SQUAWK = Path(sys.executable).with_name("squawk")
BEFORE_THE_FIRST_RELEASE = "2026_12_01_23"
"""Nobody had large tables: these migrations block."""
OF_STYLE = (
    "prefer-robust-stmts,prefer-text-field,prefer-bigint-over-int,require-lock-timeout,require-statement-timeout,"
    "prefer-identity,prefer-timestamp-tz,prefer-bigint-over-smallint,transaction-nesting,ban-uncommitted-transaction"
)
"""Rules of squawk that are no matter of locks; migrations have time limits by their connection."""
WIDER = re.compile(r"DROP CONSTRAINT (\w+),\s*(?=[^;]*ADD CONSTRAINT \1\s+CHECK [^;]*NOT VALID)")
"""A check that the same statement replaces by another one."""
BOUNDARY = re.compile(r"^(?:BEGIN|COMMIT);$", re.M)
OUTSIDE = re.compile(
    r"SET |DROP INDEX CONCURRENTLY|CREATE INDEX CONCURRENTLY|DO \$fill\$|ALTER TABLE \w+ VALIDATE CONSTRAINT \w+;?$"
)
"""Statements that are executed by themselves: they can be repeated."""


WIDENED = re.compile(r"DROP CONSTRAINT (\w+),\s+(?=ADD CONSTRAINT \1 CHECK)")
"""A check that the same statement adds again, with more values: processes of both releases write what it takes."""


def faults(text: str) -> Iterator[str]:
    """What in a migration's SQL holds others up, or cannot be repeated after a failure."""
    text = WIDER.sub("", text)
    checked = subprocess.run(
        [SQUAWK, "--assume-in-transaction", "--reporter", "json", "--pg-version", "15", "--exclude", OF_STYLE],
        input=WIDENED.sub("", text), capture_output=True, text=True, check=False,
    )  # fmt: skip
    yield from sorted({each["rule_name"] for each in json.loads(checked.stdout)})
    text = re.sub(r"(DO \$fill\$).*?\$fill\$", r"\1", text, flags=re.S)
    text = re.sub(r"(?<=AS \$\$).*?(?=\$\$)", "", text, flags=re.S)  # a function that is defined changes no rows
    parts = [part.strip() for part in BOUNDARY.split(text) if part.strip()]
    inside = [part for part in parts if not all(map(OUTSIDE.match, re.split(r";\n+", part)))]
    if inside and len(parts) > 1:
        yield "mixed-transactions"
    for part in inside:
        created = set(re.findall(r"CREATE TABLE (\w+)", part))
        changed = set(re.findall(r"^\s*(?:UPDATE|DELETE FROM)\s+(?:ONLY )?(\w+)", part, re.M))
        if changed - created:
            yield "rows-in-one-transaction"
        if "VALIDATE CONSTRAINT" in part:
            yield "validated-in-one-step"


def later_migrations() -> Iterator[tuple[str, str]]:
    for revision, _, text in planning.missing(BEFORE_THE_FIRST_RELEASE, transactions=True):
        yield revision, text


def test_no_migration_holds_others_up() -> None:
    assert {revision: found for revision, text in later_migrations() if (found := list(faults(text)))} == {}


@pytest.mark.parametrize(
    ("fault", "statement"),
    [
        ("require-concurrent-index-creation", "CREATE INDEX runs_x_idx ON runs (model);"),
        ("changing-column-type", "ALTER TABLE runs ALTER model TYPE varchar(9);"),
        ("adding-not-nullable-field", "ALTER TABLE runs ALTER model SET NOT NULL;"),
        ("adding-required-field", "ALTER TABLE runs ADD x text NOT NULL;"),
        ("adding-field-with-default", "ALTER TABLE runs ADD x double precision DEFAULT random();"),
        ("adding-foreign-key-constraint", "ALTER TABLE runs ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES users (id);"),
        ("constraint-missing-not-valid", "ALTER TABLE runs ADD CONSTRAINT c CHECK (a > 0);"),
        ("disallowed-unique-constraint", "ALTER TABLE runs ADD CONSTRAINT c UNIQUE (a);"),
        ("ban-drop-column", "ALTER TABLE runs DROP COLUMN model;"),
        ("ban-drop-table", "DROP TABLE runs;"),
        ("ban-drop-constraint", "ALTER TABLE runs DROP CONSTRAINT c;"),
        ("ban-drop-constraint", "ALTER TABLE runs DROP CONSTRAINT c, ADD CONSTRAINT d CHECK (a > 0) NOT VALID;"),
        ("renaming-column", "ALTER TABLE runs RENAME COLUMN model TO m;"),
        ("renaming-table", "ALTER TABLE runs RENAME TO r;"),
        ("rows-in-one-transaction", "UPDATE runs SET model = NULL;"),
        ("rows-in-one-transaction", "ALTER TABLE runs ADD x text;\n    UPDATE runs SET x = model;"),
        ("validated-in-one-step", "ALTER TABLE runs VALIDATE CONSTRAINT c;\nALTER TABLE runs ADD y text;"),
        ("mixed-transactions", "ALTER TABLE runs ADD y text;\n\nCOMMIT;\n\nDROP INDEX CONCURRENTLY i;\n\nBEGIN;"),
    ],
)  # fmt: skip
def test_what_would_hold_others_up_is_found(fault: str, statement: str) -> None:
    assert fault in list(faults(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE runs ADD x varchar(99);",
        "ALTER TABLE runs ADD x bigint NOT NULL DEFAULT 0;",
        "ALTER TABLE runs ADD CONSTRAINT c CHECK (a > 0) NOT VALID;",
        "ALTER TABLE runs DROP CONSTRAINT c, DROP CONSTRAINT d, ADD CONSTRAINT c CHECK (a > 0) NOT VALID,\n"
        "ADD CONSTRAINT d CHECK (b > 0) NOT VALID;",
        "ALTER TABLE runs ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES users (id) NOT VALID;",
        "ALTER TABLE runs DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (a > 0) NOT VALID;",
        "CREATE TABLE x (id text PRIMARY KEY, a varchar(9) NOT NULL);\nCREATE INDEX x_a_idx ON x (a);\n"
        "INSERT INTO x SELECT id, 'a' FROM users;\nUPDATE x SET a = 'b';",
    ],
)
def test_what_holds_nobody_up_is_allowed(statement: str) -> None:
    assert list(faults(statement)) == []


def carried_out(connection: Connection) -> None:
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        missing = "NOT EXISTS (SELECT FROM labels_seen s WHERE s.id = labels.id)"
        revisions.copy("labels_seen", "labels", "id", missing)
        revisions.fill("labels", "color = 'blue'", "color = 'red'")
        revisions.fill("labels", "label_group = 'sails'", "label_group IS NULL")
        revisions.fill("events", "cause = 'it''s'", "cause IS NULL")
        revisions.validate("labels", "labels_color_check")
        revisions.build_index("labels_color_idx", "labels (color)")


async def test_rows_constraints_and_indexes_beside_writers(database: Database) -> None:
    owner = await asyncpg.connect(database.owner_url, server_settings=migrations.SETTINGS)
    await owner.execute("""
        INSERT INTO workspaces (id, name, slug, version, created_at, updated_at)
        VALUES ('w', 'w', 'w', 1, now(), now());
        INSERT INTO labels (workspace_id, id, name, color, version, created_at, updated_at)
        SELECT 'w', 'l' || n, 'l' || n, CASE n % 2 WHEN 0 THEN 'red' ELSE 'green' END, 1, now(), now()
        FROM generate_series(1, 24000) n;
        DELETE FROM labels WHERE length(id) < 5 OR id < 'l4001' AND length(id) = 5;
        CREATE TABLE labels_seen (id text PRIMARY KEY);
        CREATE FUNCTION moved() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            UPDATE labels SET name = name || '!' WHERE id = 'l23001' AND name NOT LIKE '%!%'; RETURN NULL;
        END $$;
        CREATE TRIGGER moved AFTER INSERT ON labels_seen EXECUTE FUNCTION moved();
        INSERT INTO events (channel, type, payload) SELECT 'user:u', 't', '{}' FROM generate_series(1, 100);
        ALTER TABLE labels ADD CONSTRAINT labels_color_check CHECK (color <> 'red') NOT VALID;
    """)
    await owner.execute("VACUUM labels")
    pages = await owner.fetchval("SELECT pg_relation_size('labels') / 8192")
    assert pages > 2 * revisions.PAGES, "one transaction would be enough"
    writer, longest, done = await asyncpg.connect(database.owner_url, server_settings=migrations.SETTINGS), 0.0, False

    async def write() -> int:
        nonlocal longest
        loop, times = asyncio.get_running_loop(), 0
        while not done:
            began = loop.time()
            last = 23_999 - times * 2 % 20_000  # a new version goes to the first pages, which have room
            await writer.execute("UPDATE labels SET name = name || '.' WHERE id = $1", f"l{last}")
            longest, times = max(longest, loop.time() - began), times + 1
        return times

    async with revisions.connect(database.owner_url) as connection:
        writing = asyncio.create_task(write())
        await connection.run_sync(carried_out)
        done = True
    assert await writing > 3
    assert longest < 5
    assert dict(await owner.fetch("SELECT color, count(*) FROM labels GROUP BY color")) == {
        "blue": 10000,
        "green": 10000,
    }
    assert await owner.fetchval("SELECT count(*) FROM labels WHERE label_group IS NULL") == 0
    assert await owner.fetchval("SELECT count(*) FROM labels_seen") == 20000
    assert await owner.fetchval("SELECT count(*) FROM events WHERE cause = 'it''s'") == 100
    assert await owner.fetchval("SELECT convalidated FROM pg_constraint WHERE conname = 'labels_color_check'")
    assert await owner.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'labels_color_idx'::regclass")
    await asyncio.gather(owner.close(), writer.close())


async def migrated_by_later(url: str, works_from: str | None) -> None:
    owner = await asyncpg.connect(url)
    await owner.execute("UPDATE alembic_version SET version_num = '2999_01_01'")
    await owner.execute("UPDATE instance_facts SET value = '7.1.0' WHERE name = 'release'")
    await owner.execute("DELETE FROM instance_facts WHERE name = 'works_from'")
    if works_from:
        await owner.execute(
            "INSERT INTO instance_facts (name, value, created_at) VALUES ('works_from', $1, now())", works_from
        )
    await owner.close()


async def test_a_release_works_on_the_tables_of_a_later_one_that_says_so(database: Database, tmp_path: Path) -> None:
    access = serve.Access(database.url, database.owner_url, APPLICATION)
    settings = settings_for(database.url, tmp_path)
    await migrated_by_later(database.owner_url, migrations.head())
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("REVOKE INSERT ON labels FROM " + APPLICATION)
    assert await serve.migrate(settings, access) == "2999_01_01"
    assert not await owner.fetchval(f"SELECT has_table_privilege('{APPLICATION}', 'labels', 'INSERT')"), (
        "it changed rights"
    )
    assert not await migrations.lacks(owner)
    await owner.close()
    for refused in ("2998_01_01", None):
        await migrated_by_later(database.owner_url, refused)
        with pytest.raises(serve.StartError, match=r"revision 2999_01_01, .* start Crewship 7\.1\.0 or newer"):
            await serve.migrate(settings, access)


async def test_a_migration_notes_which_releases_work_on_its_tables(empty_database: Database) -> None:
    assert await migrations.upgrade(empty_database.owner_url, application_role=APPLICATION) == migrations.head()
    owner = await asyncpg.connect(empty_database.owner_url)
    assert await owner.fetchval("SELECT value FROM instance_facts WHERE name = 'works_from'") == migrations.OLDEST
    await owner.close()


async def test_a_table_that_stays_locked_is_tried_again_and_then_named_to_the_operator(database: Database) -> None:
    owner, busy = await asyncpg.connect(database.owner_url), await asyncpg.connect(database.owner_url)
    await owner.execute("ALTER TABLE labels DISABLE ROW LEVEL SECURITY")  # what a start has to change
    with (
        mock.patch.object(migrations, "TABLE_LOCK_TIMEOUT", "50ms"),
        mock.patch.object(migrations, "TABLE_LOCK_PAUSE", 0.01),
        mock.patch.object(migrations, "TABLE_LOCK_TRIES", 3),
    ):
        async with busy.transaction():
            await busy.execute("SELECT FROM labels")
            with pytest.raises(migrations.BusyTableError, match="keeps a table locked"):
                await migrations.upgrade(database.owner_url, application_role=APPLICATION)
            with mock.patch.object(migrations, "TABLE_LOCK_TRIES", 500):
                upgrading = asyncio.create_task(migrations.upgrade(database.owner_url, application_role=APPLICATION))
                await asyncio.sleep(0.2)
                assert not upgrading.done()
                await busy.execute("SELECT FROM labels")
        assert await upgrading == migrations.head()
    assert await owner.fetchval("SELECT relrowsecurity FROM pg_class WHERE oid = 'labels'::regclass")
    await asyncio.gather(owner.close(), busy.close())
