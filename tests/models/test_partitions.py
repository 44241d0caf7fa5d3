"""The migration to partitions, on rows that the version before it has stored."""

import asyncpg
import pytest

from models import migrations
from tests.conftest import Database
from tests.models.conftest import upgrade_to

pytestmark = pytest.mark.anyio

BEFORE = "0028"
EVENT = "INSERT INTO events (channel, type, payload, created_at) VALUES ($1, 't', '{}', now() - $2::interval)"


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
