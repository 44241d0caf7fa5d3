"""The migration that makes a text's bound its type, on rows that the version before it has stored."""

import logging
from collections.abc import AsyncIterator

import asyncpg
import pytest

from crewship.postgres import APPLICATION
from models import migrations
from models.migrations import row_security
from models.migrations.tables import secured_tables
from tests.conftest import Database
from tests.models.conftest import upgrade_to
from tests.models.rows import Connection
from tests.models.test_row_security import policies

pytestmark = pytest.mark.anyio

BEFORE, LENGTHS = "0012", "0013"
ROWS = """
SET crewship.workspaces = '*';
INSERT INTO workspaces (id, name, slug, version) VALUES ('w', 'w', 'w', 1), ('v', 'v', 'v', 1);
INSERT INTO users (id, email, onboarding_completed, failed_login_count) VALUES ('u', 'u@example.org', false, 0);
INSERT INTO memberships (id, workspace_id, user_id, role) VALUES ('m', 'w', 'u', 'OWNER');
INSERT INTO labels (id, workspace_id, name, color, label_group, version) VALUES
    ('l1', 'w', 'calm', 'red', NULL, 1), ('l3', 'v', 'calm', 'red', NULL, 1),
    ('l2', 'w', repeat('é', 100), repeat('r', 300), 'g' || repeat(' ', 100), 1);
INSERT INTO events (workspace_id, channel, type, payload)
    VALUES ('w', 'workspace:w', 'x', '{}'), (NULL, 'user:u', 'x', '{}');
ALTER TABLE instance_facts DROP CONSTRAINT instance_facts_size_check;
INSERT INTO instance_facts (name, value) VALUES ('short', 'x'), ('long', repeat('é', 50000));
ALTER TABLE instance_facts ADD CONSTRAINT instance_facts_size_check
    CHECK (octet_length(name) <= 800 AND octet_length(value) <= 40000) NOT VALID;
ANALYZE labels;
"""
STORED = (
    "SELECT * FROM labels ORDER BY id",
    "SELECT * FROM instance_facts ORDER BY name",
    "SELECT * FROM events ORDER BY seq",
    "SELECT * FROM memberships",
)
TEXTS = """
    SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = $1::text::regclass AND attnum > 0 AND atttypid IN ('text'::regtype, 'varchar'::regtype)
"""
CHECK = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = $1"
POLICIES = (
    "SELECT polrelid::regclass::text, polname, polcmd, polpermissive, polroles, obj_description(oid, 'pg_policy')"
    " FROM pg_policy ORDER BY 1"
)


async def stored(owner: Connection) -> list[list[tuple[object, ...]]]:
    return [[tuple(row) for row in await owner.fetch(query)] for query in STORED]


@pytest.fixture
async def owner(empty_database: Database) -> AsyncIterator[Connection]:
    """Of a database of the version before, with its row-level security and rows longer than new ones may be."""
    await upgrade_to(empty_database, BEFORE)
    connected = await asyncpg.connect(empty_database.owner_url)
    there = {row[0] for row in await connected.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    then = [table for table in secured_tables() if table.name in there]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_security, "secured_tables", lambda: then)
        await row_security.apply_row_security(connected, True)
    await connected.execute(ROWS)
    yield connected
    await connected.close()


async def test_longer_values_are_kept_as_they_are_and_their_columns_as_text(
    owner: Connection, empty_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="alembic")  # whatever a process that was set up here before has made of it
    before = await stored(owner)
    await upgrade_to(empty_database, LENGTHS)
    await owner.reload_schema_state()
    assert await stored(owner) == before

    labels = {
        "id": "character varying(200)",
        "workspace_id": "text",
        "name": "character varying(600)",
        "color": "text",
        "label_group": "text",
    }
    assert dict(await owner.fetch(TEXTS, "labels")) == labels
    assert dict(await owner.fetch(TEXTS, "instance_facts")) == {"name": "character varying(200)", "value": "text"}
    told = {record.getMessage() for record in caplog.records if record.levelname == "WARNING"}
    assert told == {
        "labels.color has values of more than 100 characters and stays text",
        "labels.label_group has values of more than 100 characters and stays text",
        "instance_facts.value has values of more than 10000 characters and stays text",
    }

    assert (
        await owner.fetchval(CHECK, "labels_size_check")
        == "CHECK (((octet_length(color) <= 400) AND (octet_length(label_group) <= 400)))"
    )
    assert (
        await owner.fetchval(CHECK, "instance_facts_size_check") == "CHECK ((octet_length(value) <= 40000)) NOT VALID"
    )
    assert await owner.fetchval(CHECK, "events_size_check") == "CHECK ((pg_column_size(payload) <= 1048576))"
    assert await owner.fetchval(CHECK, "users_size_check") is None
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE instance_facts SET created_at = now()")
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE labels SET color = repeat('r', 401) WHERE id = 'l1'")
    assert await owner.execute("UPDATE instance_facts SET value = left(value, 20)") == "UPDATE 2"


async def test_policies_stay_in_force_and_what_is_known_of_the_columns_is_gathered_anew(
    owner: Connection, empty_database: Database
) -> None:
    before, conditions = await owner.fetch(POLICIES), await policies(owner)
    assert len(before) > 20
    await upgrade_to(empty_database, LENGTHS)
    assert await owner.fetch(POLICIES) == before
    assert {table: _bare(found) for table, found in (await policies(owner)).items()} == {
        table: _bare(found) for table, found in conditions.items()
    }
    seen = {"@u": ["user:u"], "w": ["workspace:w"], "v": [], "*": ["workspace:w", "user:u"]}
    for scope, channels in seen.items():
        await owner.execute("SELECT set_config('crewship.workspaces', $1, false)", scope)
        assert [row[0] for row in await owner.fetch("SELECT channel FROM events ORDER BY seq")] == channels

    admin = await asyncpg.connect(empty_database.server.dsn("postgres", empty_database.name))
    known = {row[0] for row in await admin.fetch("SELECT attname FROM pg_stats WHERE tablename = 'labels'")}
    await admin.close()
    assert known >= {"id", "name", "color"}
    assert await owner.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'crews'") <= 0, (
        "an empty table that was never analysed stays so"
    )
    options = await owner.fetchval(
        "SELECT attoptions FROM pg_attribute WHERE attrelid = 'runs'::regclass AND attname = 'trigger_type'"
    )
    assert options == ["n_distinct=5"]


async def test_the_upgrade_goes_on_to_the_head(owner: Connection, empty_database: Database) -> None:
    await migrations.upgrade(empty_database.owner_url, application_role=APPLICATION)
    assert await migrations.current(empty_database.owner_url) == migrations.head()
    application = await asyncpg.connect(empty_database.url)
    try:
        await application.execute("SELECT set_config('crewship.workspaces', 'w', false)")
        assert await application.fetchval("SELECT count(*) FROM labels") == 2
        assert await application.execute("UPDATE labels SET version = version + 1 WHERE id = 'l2'") == "UPDATE 1"
        with pytest.raises(asyncpg.StringDataRightTruncationError):
            await application.execute("UPDATE labels SET name = repeat('n', 601) WHERE id = 'l2'")
    finally:
        await application.close()


def _bare(conditions: tuple[str, str]) -> list[str]:
    """Without casts and brackets, which depend on the types."""
    return [condition.replace("::text", "").replace("(", "").replace(")", "") for condition in conditions]
