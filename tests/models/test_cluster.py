"""A copied database gets the transaction numbers of its cluster; what was not delivered is delivered once."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import APPLICATION, Connection, EmbeddedPostgres
from crewship.process.postgres_child import User, binaries_for
from models.attention.webhook_endpoints import WebhookEndpoint
from models.kernel import OutboxEvent
from models.migrations import upgrade
from models.migrations.cluster import CLUSTER, FOLLOWS, OUTBOX, QUEUE, SEEN, adopt
from models.migrations.sql import texts
from models.migrations.tables import metadata
from resolvers.kernel.background.clocks import AcrossWorkspaces
from resolvers.kernel.background.followers import follow
from resolvers.live import statements
from resolvers.live.history import KEY
from tests.architecture.source import name_of, python_files
from tests.conftest import Database
from tests.models.rows import insert, of, workspace_rows

pytestmark = pytest.mark.anyio
PLACE = "workspace:x"
BURN = "DO $$ BEGIN FOR n IN 1..{times} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
AHEAD = 20_000  # transactions by which the cluster of the original is ahead
HIGH = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
TELL = "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1, $2, 'crew.updated', '{}') RETURNING 1"


@asynccontextmanager
async def connected(dsn: str, **settings: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn, server_settings={"crewship.workspaces": "*", **settings})
    try:
        yield connection
    finally:
        await connection.close()


async def tell(dsn: str, *names: str) -> None:
    async with connected(dsn) as connection:
        for name in names:
            await connection.execute(TELL, "ours", name)


async def tell_crossed(dsn: str, first: str, second: str) -> None:
    """The transaction that has begun first writes last: the order of delivery is not that of the numbers in it."""
    async with connected(dsn) as one, connected(dsn) as other, one.transaction():
        await one.fetchval("SELECT pg_current_xact_id()")
        await other.execute(TELL, "ours", second)
        await one.execute(TELL, "ours", first)


async def followed(dsn: str, follower: str = "cluster_test") -> list[str]:
    found, more = [], True
    async with connected(dsn) as connection:
        while more:
            async with connection.transaction():
                events, more = await follow(AcrossWorkspaces(connection), follower, OutboxEvent, (), ["crew.updated"])
            found += [event["channel"] for event in events]
    return found


async def heard(connection: Any, since: int) -> list[str]:
    rows = await connection.fetch(statements.EVENTS, str(since), 2**63 - 1, 1000, True)
    return [row["channel"] for row in rows if row["type"] == "crew.updated"]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path / "other", durable=False)
    made.start()
    yield made
    made.stop()


@pytest.mark.slow
async def test_a_dump_restored_into_another_cluster(
    database: Database, other: EmbeddedPostgres, tmp_path: Path
) -> None:
    target = other.join()
    rows = workspace_rows("ours")
    async with connected(database.server.dsn("postgres", database.name)) as admin, connected(target.owner) as there:
        behind = await there.fetchval(HIGH) + AHEAD - await admin.fetchval(HIGH)
        if behind > 0:
            await admin.execute(BURN.format(times=behind))
        await insert(admin, *rows)
    await upgrade(database.owner_url, application_role=APPLICATION)
    assert await followed(database.url) == []
    await tell(database.url, "delivered")
    assert await followed(database.url) == ["delivered"]
    await tell_crossed(database.url, "first", "second")
    await _restore(database, target, tmp_path / "dump")

    await upgrade(target.owner, application_role=APPLICATION)

    async with connected(target.application) as reader:
        now = await reader.fetchval(statements.NOW)
        assert await followed(target.application) == ["first", "second"]
        assert await followed(target.application) == []
        await tell(target.application, "new")
        assert await followed(target.application) == ["new"]
        assert await heard(reader, now) == ["new"]
        await _pass(target, await _highest(database))
        await tell(target.application, "later")
        assert await heard(reader, now) == ["new", "later"]
        assert await followed(target.application) == ["later"]


async def numbers(dsn: str) -> dict[str, tuple[int, int]]:
    """Of each table with transaction numbers: how many rows, and the highest number."""
    async with connected(dsn) as reader:
        found = {
            table: await reader.fetchrow(f"SELECT count(*), max(xid::text::bigint) FROM {table}")
            for table in (OUTBOX, QUEUE, *SEEN)
        }
    return {table: (row[0], row[1]) for table, row in found.items()}


async def test_no_row_is_of_a_transaction_to_come(database: Database) -> None:
    """As `adopt` finds a copy whose numbers the cluster has not given."""
    await tell(database.url, "here", "there")
    async with connected(database.server.dsn("postgres", database.name)) as admin:
        await insert(admin, *workspace_rows("ours"))
        horizon = await admin.fetchval(HIGH)
        await admin.execute("UPDATE instance_facts SET value = '1' WHERE name = $1", CLUSTER)
        for table in (OUTBOX, QUEUE, *SEEN):
            type = "bigint" if table == QUEUE else SEEN.get(table, "xid8")
            await admin.execute(f"UPDATE {table} SET xid = '{horizon + AHEAD}'::{type}")
        await admin.execute("INSERT INTO instance_facts VALUES ('events_swept:ours', $1, now())", str(horizon + AHEAD))
    before = await numbers(database.url)
    async with connected(database.owner_url) as owner:
        assert await adopt(owner)
        assert not await adopt(owner)
        swept = await owner.fetchval("SELECT value::bigint FROM instance_facts WHERE name = 'events_swept:ours'")
        generated = await owner.fetchval(
            "SELECT attidentity FROM pg_attribute WHERE attrelid = 'events'::regclass AND attname = 'seq'"
        )
    after = await numbers(database.url)
    assert {table: rows for table, (rows, _) in before.items()} == {table: rows for table, (rows, _) in after.items()}
    for table, (rows, highest) in after.items():
        assert rows > 0, table
        assert highest < horizon, table
    assert swept < horizon
    assert generated == b"a"


async def test_the_order_survives_one_copy_after_another(database: Database) -> None:
    assert await followed(database.url) == []
    await tell(database.url, "followed")
    assert await followed(database.url) == ["followed"]
    rows = workspace_rows("ours")
    async with connected(database.server.dsn("postgres", database.name)) as admin:
        await insert(admin, *rows)
        endpoint = of(rows, WebhookEndpoint)
        await admin.execute("DELETE FROM webhook_deliveries")
        for number, (xid, seq) in enumerate([(700, 9), (700, 10), (90, 11), (0, 12)]):
            await admin.execute(
                "INSERT INTO webhook_deliveries (id, workspace_id, endpoint_id, event_type, subject, lane, payload,"
                " xid, seq, state, attempts, happened_at)"
                " VALUES ($1, $2, $3, 'x', 'x', 0, '{}', $4, $5, 'pending', 0, now())",
                f"d{number}", endpoint.workspace_id, endpoint.id, xid, seq,
            )  # fmt: skip
    for round in range(3):
        await tell_crossed(database.url, f"a{round}", f"b{round}")
        async with connected(database.owner_url) as owner:
            await owner.execute("UPDATE instance_facts SET value = '1' WHERE name = $1", CLUSTER)
            assert await adopt(owner)
            due = await owner.fetch("SELECT id FROM webhook_deliveries ORDER BY xid, seq")
            assert [row["id"] for row in due] == ["d3", "d2", "d0", "d1"]
    assert await followed(database.url) == ["a0", "b0", "a1", "b1", "a2", "b2"]
    assert await followed(database.url) == []


async def test_a_database_of_this_cluster_keeps_its_numbers(database: Database) -> None:
    """A first start of this release, and each later one."""
    await tell(database.url, "here")
    before = await numbers(database.url)
    async with connected(database.owner_url) as owner:
        await owner.execute("DELETE FROM instance_facts WHERE name = $1", CLUSTER)
        assert not await adopt(owner)
        assert not await adopt(owner)
    assert await numbers(database.url) == before


async def test_a_copy_that_nobody_has_marked_is_known_by_its_numbers(database: Database) -> None:
    async with connected(database.owner_url) as owner:
        await owner.execute("DELETE FROM instance_facts WHERE name = $1", CLUSTER)
        high = await owner.fetchval(HIGH)
        await owner.execute("INSERT INTO instance_facts VALUES ($1, $2, now())", f"x{FOLLOWS}", f"{high + AHEAD}:0")
        assert await adopt(owner)
    await tell(database.url, "new")
    assert await followed(database.url, "x") == ["new"]


async def test_a_failed_adoption_changes_nothing(database: Database) -> None:
    await tell(database.url, "here")
    before = await numbers(database.url)
    async with connected(database.owner_url) as owner:
        await owner.execute("UPDATE instance_facts SET value = '1' WHERE name = $1", CLUSTER)
        await owner.execute("ALTER TABLE journal RENAME COLUMN xid TO other")
        with pytest.raises(asyncpg.UndefinedColumnError):
            await adopt(owner)
        await owner.execute("ALTER TABLE journal RENAME COLUMN other TO xid")
    assert await numbers(database.url) == before


def test_every_column_with_a_transaction_number_is_known() -> None:
    def numbered(column: Any) -> bool:
        default = str(getattr(column.server_default, "arg", ""))
        return "xact_id" in default or "xid" in column.name or "xid" in str(column.type).lower()

    found = {
        (table.name, column.name) for table in metadata().tables.values() for column in table.c if numbered(column)
    }
    assert found == {(table, "xid") for table in (OUTBOX, QUEUE, *SEEN)}


@pytest.mark.slow
async def test_a_replica_that_lagged_and_was_promoted(tmp_path: Path) -> None:
    """A physical copy keeps its numbers: what it has not followed follows, and it has a new epoch for listeners."""
    server = EmbeddedPostgres(tmp_path / "primary", durable=False)
    await upgrade(server.start().owner, application_role=APPLICATION)
    try:
        primary = server.join()
        assert await followed(primary.application) == []
        await tell(primary.application, "one", "two")
        async with connected(primary.application) as reader:
            epoch, high = await reader.fetchval(KEY), await reader.fetchval(HIGH)
        server.stop()
        shutil.copytree(tmp_path / "primary", tmp_path / "replica", symlinks=True)
        _own_as(tmp_path / "primary", tmp_path / "replica")
        server = EmbeddedPostgres(tmp_path / "primary", durable=False)
        server.start()
        await tell(primary.application, "lost")
        assert await followed(primary.application) == ["one", "two", "lost"]
    finally:
        server.stop()
    _promote_at_start(tmp_path / "replica" / "pg" / "18")
    replica = EmbeddedPostgres(tmp_path / "replica", durable=False)
    try:
        promoted = replica.start()
        await _writable(promoted)
        await upgrade(promoted.owner, application_role=APPLICATION)
        async with connected(promoted.application) as reader:
            assert await reader.fetchval(KEY) != epoch
            assert await reader.fetchval("SELECT min(xid::text::bigint) FROM events") > 3
            assert await reader.fetchval(HIGH) >= high
        await tell(promoted.application, "three")
        assert await followed(promoted.application) == ["one", "two", "three"]
        assert await followed(promoted.application) == []
    finally:
        replica.stop()


def _own_as(source: Path, copy: Path) -> None:
    for path in source.rglob("*"):
        found = path.lstat()
        os.chown(copy / path.relative_to(source), found.st_uid, found.st_gid, follow_symlinks=False)


def _promote_at_start(cluster: Path) -> None:
    """Recovery ends where the log ends, on a new timeline."""
    with (cluster / "postgresql.auto.conf").open("a") as file:
        file.write("restore_command = 'false'\n")
    signal = cluster / "recovery.signal"
    signal.touch()
    found = cluster.stat()
    os.chown(signal, found.st_uid, found.st_gid)


async def _writable(server: Connection) -> None:
    async with asyncio.timeout(60):
        while True:
            async with connected(server.owner) as connection:
                if not await connection.fetchval("SELECT pg_is_in_recovery()"):
                    return
            await asyncio.sleep(0.1)


async def test_another_database_of_the_cluster_holds_up_nothing(database: Database, empty_database: Database) -> None:
    async with connected(database.url) as reader, connected(empty_database.owner_url) as foreign:
        now = await reader.fetchval(statements.NOW)
        assert await followed(database.url) == []
        async with foreign.transaction():
            await foreign.fetchval("SELECT pg_current_xact_id()")
            await tell(database.url, "seen")
            assert await heard(reader, now) == ["seen"]
            assert await followed(database.url) == ["seen"]
            async with connected(database.owner_url) as own, own.transaction():
                await own.fetchval("SELECT pg_current_xact_id()")
                await tell(database.url, "waits")
                assert await heard(reader, now) == ["seen"]
                assert await followed(database.url) == []
            assert await heard(reader, now) == ["seen", "waits"]
            assert await followed(database.url) == ["waits"]


async def test_the_horizon_does_not_pass_the_transaction_that_asks(database: Database) -> None:
    """Where it has a number, it may write events below a horizon that it has noted."""
    async with connected(database.url) as connection, connected(database.url) as other, connection.transaction():
        own = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
        await other.fetchval("SELECT pg_current_xact_id()")
        assert await connection.fetchval("SELECT events_horizon()::text::bigint") == own


async def _restore(source: Database, target: Connection, file: Path) -> None:
    binaries = binaries_for(User.choose(file.parent))
    dump = [binaries / "pg_dump", "-Fc", "-f", file, "-d", source.server.dsn("postgres", source.name)]
    restore = [binaries / "pg_restore", "-d", target.dsn("postgres", "crewship"), file]
    for command in (dump, restore):
        await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


async def _highest(source: Database) -> int:
    async with connected(source.owner_url) as connection:
        return int(await connection.fetchval(HIGH))


async def _pass(server: Connection, number: int) -> None:
    async with connected(server.dsn("postgres", "crewship")) as admin:
        await admin.execute(BURN.format(times=number - await admin.fetchval(HIGH) + 10))
        assert await admin.fetchval(HIGH) > number


async def test_a_process_that_was_not_restarted_on_a_copy_follows_nothing(database: Database) -> None:
    await tell(database.url, "one")
    async with connected(database.owner_url) as owner:
        await owner.execute("UPDATE instance_facts SET value = '1' WHERE name = $1", CLUSTER)
        for read in (followed(database.url), heard(owner, 3)):
            with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="restart every Crewship process"):
                await read
        assert await adopt(owner)
    assert await followed(database.url) == []


def test_whatever_waits_for_older_transactions_asks_for_the_horizon() -> None:
    files = python_files("models", "resolvers", "runtime", "crewship")
    found = {name_of(path) for path in files if "pg_snapshot_xmin" in path.read_text()}
    assert found == {"resolvers/live/statements.py"}  # the live reader, between its looks by the horizon
    assert {subject for subject, text in texts().items() if "pg_snapshot_xmin" in text} == {"events"}
