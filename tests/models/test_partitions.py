"""The migration to partitions, on rows that the version before it has stored."""

from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from models import migrations
from tests.conftest import Database
from tests.models.conftest import upgrade_to

pytestmark = pytest.mark.anyio

BEFORE = "0028"
EVENT = "INSERT INTO events (channel, type, payload, created_at) VALUES ($1, 't', '{}', now() - $2::interval)"


@pytest.mark.slow
async def test_rows_of_the_version_before_are_the_first_partition(empty_database: Database) -> None:
    await upgrade_to(empty_database, BEFORE)
    owner = await asyncpg.connect(empty_database.owner_url)
    try:
        await owner.execute("SET crewship.workspaces = '*'")
        for channel, age in (("old", "90 days"), ("young", "1 minute")):
            await owner.execute(EVENT.replace("$2::interval", f"interval '{age}'"), f"user:{channel}")
        last = await owner.fetchval("SELECT max(seq) FROM events")
        await migrations.upgrade(empty_database.owner_url)
        await owner.execute(EVENT.replace("$2::interval", "interval '0'"), "user:new")
        rows = await owner.fetch("SELECT channel, seq, tableoid::regclass::text AS place FROM events ORDER BY xid, seq")
        assert [(row["channel"], row["place"]) for row in rows] == [
            ("user:old", "events_before"), ("user:young", "events_before"), ("user:new", "events_before"),
        ]  # fmt: skip
        assert rows[-1]["seq"] > last
        # it goes like any other, when the day of the migration has expired
        assert await owner.fetchval("SELECT drop_partitions('events', now())") == 0
        assert await owner.fetchval("SELECT drop_partitions('events', now() + interval '1 day')") == 1
        assert await owner.fetchval("SELECT count(*) FROM events") == 0
        frames = await owner.fetch("SELECT name FROM partitions_of('run_frames')")
        assert "run_frames_before" not in [row["name"] for row in frames]  # there were none
    finally:
        await owner.close()


def version_before(name: str) -> str:
    """Of the migration with this name."""
    (file,) = Path(migrations.__file__).parent.glob(f"versions/*_{name}.py")
    return f"{int(file.name[:4]) - 1:04}"


@pytest.mark.slow
async def test_the_audit_log_of_the_version_before_is_its_first_partition(empty_database: Database) -> None:
    await upgrade_to(empty_database, version_before("audit_partitions"))
    owner = await asyncpg.connect(empty_database.owner_url)
    write = (
        "INSERT INTO audit_logs (id, workspace_id, action, entity_type, actor_type, data, created_at)"
        " VALUES ($1, 'w', 'label.created', 'LABEL', 'system', '{}', now() - $2::interval)"
    )
    try:
        await owner.execute("SET crewship.workspaces = '*'")
        await owner.execute("INSERT INTO workspaces (id, name, slug, version) VALUES ('w', 'W', 'w', 1)")
        for id, age in (("old", timedelta(days=90)), ("young", timedelta(minutes=1))):
            await owner.execute(write, id, age)
        before = await owner.fetch(
            "SELECT id, seq, xid::text, salt, entity_kind, created_at FROM audit_logs ORDER BY seq"
        )
        await migrations.upgrade(empty_database.owner_url)
        assert (
            await owner.fetch("SELECT id, seq, xid::text, salt, entity_kind, created_at FROM audit_logs ORDER BY seq")
            == before
        )
        await owner.execute(write, "new", timedelta())
        assert await owner.fetchval("SELECT seq FROM audit_logs WHERE id = 'new'") > before[-1]["seq"]
        # lines of the journal come when rows are sealed, are corrected and go with rows of every partition
        assert await owner.fetchval("SELECT count(*) FROM journal WHERE kind = 'ad'") == 0
        await owner.execute(
            "INSERT INTO instance_facts (name, value, created_at)"
            " SELECT 'audit_sealed', max(seq)::text, now() FROM audit_logs"
        )
        assert await owner.fetchval("SELECT count(*) FROM journal WHERE kind = 'ad'") == 3
        await owner.execute("UPDATE audit_logs SET actor_id = 'someone' WHERE id = 'new'")
        assert await owner.fetchval("SELECT actor_id FROM journal WHERE row_id = 'new'") == "someone"
        await owner.execute("DELETE FROM audit_logs WHERE id = 'old'")
        assert await owner.fetchval("SELECT count(*) FROM journal WHERE kind = 'ad'") == 2
        assert await owner.fetchval("SELECT count(*) FROM partitions_of('audit_logs')") >= 4
    finally:
        await owner.close()
