"""Seals of the audit log: whatever is planted in it afterwards is found by name, and writers do not wait."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from models.kernel import AuditLog
from models.migrations import KEEP
from resolvers.instance.running import instance
from resolvers.instance.vault import Signatures
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.store.connection import connect
from resolvers.kernel.store.database import database
from resolvers.oversight.audit import seals
from resolvers.oversight.audit.verification import Verified, verify
from tests.partitions import part_off
from tests.world import World

pytestmark = pytest.mark.anyio
ROWS = 30
EVERYTHING = {"crewship.workspaces": "*"}


@pytest.fixture(autouse=True)
async def chain(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of rows that are sealed, ten a seal."""
    monkeypatch.setattr(seals, "PORTION", 10)
    await world.database.execute("DELETE FROM audit_logs; DELETE FROM audit_seals")
    await write(world, ROWS)
    await seals.seal(across_workspaces)
    return [row["id"] for row in await world.database.fetch("SELECT id FROM audit_logs ORDER BY seq")]


async def write(world: World, number: int, **changes: Any) -> None:
    given = {"action": "update", "entity_type": "AGENT", "user_id": world.owner.user_id, "data": {"n": 1}}
    rows = [AuditLog(entity_id=f"a{n}", workspace_id=world.workspace.id, **(given | changes)) for n in range(number)]
    await world.add(*rows)


async def faults(
    world: World, own: Signatures | None = None, workspace: str | None = None
) -> tuple[list[str], Verified]:
    found = Verified()
    texts = [fault.text async for fault in verify(world.database, (own or instance.vault).signed, workspace, found)]
    return texts, found


async def test_a_log_that_nobody_touched_has_no_faults(world: World) -> None:
    texts, found = await faults(world)
    assert texts == []
    assert (found.rows, found.seals, found.workspaces) == (ROWS, 3, 1)
    await write(world, 5)
    assert (await faults(world))[0] == [], "rows that are not sealed yet are no fault"
    await seals.seal(across_workspaces)
    assert (await faults(world))[1].rows == ROWS + 5


@pytest.mark.parametrize(
    "change",
    [
        "data = '{}'", "action = 'create'", "user_id = NULL", "created_at = created_at + interval '1 microsecond'",
        "actor_type = 'agent'", "changes = '{}'", "entity_id = NULL", "ip_address = '192.0.2.1'",
    ],
)  # fmt: skip
async def test_a_changed_row_is_named(world: World, chain: list[str], change: str) -> None:
    await world.database.execute(f"UPDATE audit_logs SET {change} WHERE id = $1", chain[14])
    assert (await faults(world))[0] == [f"row {chain[14]} was changed since seal 2"]


async def test_a_missing_row_is_named_by_its_neighbours(world: World, chain: list[str]) -> None:
    await world.database.execute("DELETE FROM audit_logs WHERE id = ANY ($1)", [chain[14], chain[20], chain[21]])
    assert (await faults(world))[0] == [
        f"1 row is missing between row {chain[13]} and row {chain[15]}",
        f"2 rows are missing between the beginning of seal 3 and row {chain[22]}",
    ]


async def test_a_moved_row_is_named(world: World, chain: list[str]) -> None:
    await world.database.execute("ALTER TABLE audit_logs ALTER COLUMN seq DROP IDENTITY")
    a, b = [
        await world.database.fetchval("SELECT seq FROM audit_logs WHERE id = $1", id) for id in (chain[12], chain[16])
    ]
    for id, seq in ((chain[12], -1), (chain[16], a), (chain[12], b)):
        await world.database.execute("UPDATE audit_logs SET seq = $2 WHERE id = $1", id, seq)
    texts, _ = await faults(world)
    last = await world.database.fetchval("SELECT max(seq) FROM audit_logs")
    await world.database.execute("ALTER TABLE audit_logs ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY")
    await world.database.execute(f"ALTER TABLE audit_logs ALTER COLUMN seq RESTART WITH {last + 1}")
    assert set(texts) <= {f"row {id} was moved within seal 2" for id in chain[12:17]}
    assert {f"row {chain[12]} was moved within seal 2", f"row {chain[16]} was moved within seal 2"} & set(texts)


async def test_an_added_row_is_named(world: World, chain: list[str]) -> None:
    gap = await world.database.fetchval("SELECT seq FROM audit_logs WHERE id = $1", chain[14])
    await world.database.execute("DELETE FROM audit_logs WHERE id = $1", chain[14])
    await world.database.execute(
        "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data, seq)"
        " OVERRIDING SYSTEM VALUE VALUES ('forged', $1, 'system', 'create', 'AGENT', '{}', $2)",
        world.workspace.id,
        gap,
    )
    assert (await faults(world))[0] == ["row forged was changed since seal 2"]


async def test_seals_cannot_be_made_again_without_the_key(world: World, chain: list[str]) -> None:
    await world.database.execute("UPDATE audit_logs SET data = '{}' WHERE id = $1", chain[14])
    honest = instance.vault
    instance._vault = Signatures({1: b"f" * 32})  # type: ignore[assignment]
    try:
        await world.database.execute("DELETE FROM audit_seals; DELETE FROM instance_facts WHERE name = 'audit_sealed'")
        await seals.seal(across_workspaces)
    finally:
        instance._vault = honest
    texts, _ = await faults(world)
    assert texts == [f"seal {number} is not signed by this instance" for number in (1, 2, 3)]


async def test_a_removed_seal_and_a_removed_end_are_named(world: World, chain: list[str]) -> None:
    await world.database.execute("DELETE FROM audit_seals WHERE number = 2")
    texts, _ = await faults(world)
    assert texts[0] == "seal 3 follows seal 1: 1 seals between them are missing"
    await world.database.execute("DELETE FROM audit_seals WHERE number = 3")
    texts, _ = await faults(world)
    assert texts == [f"row {id} was added after the last seal, or that seal was removed" for id in chain[10:]]


async def test_rows_that_have_expired_leave_their_seals(world: World, chain: list[str], monkeypatch: Any) -> None:
    await keep(world, 30, monkeypatch)
    await seals.seal(across_workspaces)
    assert (await faults(world))[1].rows == ROWS, "nothing has expired"
    await world.database.execute("DELETE FROM audit_logs; DELETE FROM audit_seals")
    month = await with_a_month_long_ago(world)
    await write(world, 15, created_at=month + timedelta(days=3))  # the second of its seals has rows of two months
    await write(world, 10)
    await seals.seal(across_workspaces)
    texts, found = await faults(world)
    assert (texts, found.rows, found.dropped, found.seals) == ([], 10, 15, 3)
    assert (
        await world.database.fetchval(
            "SELECT count(*) FROM journal WHERE kind = 'ad' AND at < now() - '30 days'::interval"
        )
        == 0
    )
    assert await world.database.fetchval("SELECT to_regclass('audit_logs_long_ago')") is None
    ids = [row["id"] for row in await world.database.fetch("SELECT id FROM audit_logs ORDER BY seq")]
    await world.database.execute("DELETE FROM audit_logs WHERE id = $1", ids[2])
    assert (await faults(world))[0] == [f"1 row is missing between row {ids[1]} and row {ids[3]}"]
    await world.database.execute("UPDATE audit_seals SET dropped_at = now(), digests = NULL WHERE number = 3")
    assert (await faults(world))[0][1:] == ["seal 3 records 5 expired rows, which this instance has not removed"]


async def test_a_forged_row_in_a_month_that_was_dropped_is_named(world: World, monkeypatch: Any) -> None:
    await keep(world, 30, monkeypatch)
    await world.database.execute("DELETE FROM audit_logs; DELETE FROM audit_seals")
    month = await with_a_month_long_ago(world)
    await write(world, 10, created_at=month + timedelta(days=3))
    first = await world.database.fetchval("SELECT min(seq) FROM audit_logs")
    await seals.seal(across_workspaces)
    await world.database.execute(
        "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data, created_at, seq)"
        " OVERRIDING SYSTEM VALUE VALUES ('forged', $1, 'system', 'create', 'AGENT', '{}', $2, $3)",
        world.workspace.id,
        month + timedelta(days=3),
        first,
    )
    assert (await faults(world))[0] == ["row forged is in the range of seal 1, whose rows have expired"]


async def test_what_is_let_go_and_not_dropped_yet_is_no_fault_and_is_dropped_later(
    world: World, monkeypatch: Any
) -> None:
    """Somebody holds the table when its month is to be dropped."""
    await keep(world, 30, monkeypatch)
    await world.database.execute("DELETE FROM audit_logs; DELETE FROM audit_seals")
    month = await with_a_month_long_ago(world)
    await write(world, 15, created_at=month + timedelta(days=3))
    await write(world, 5)
    async with database.lease() as conn, conn.transaction():
        await conn.execute("LOCK TABLE audit_logs IN ROW EXCLUSIVE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await seals.seal(across_workspaces)
    texts, found = await faults(world)
    assert (texts, found.rows, found.dropped) == ([], 5, 15)
    assert await world.database.fetchval("SELECT count(*) FROM audit_logs") == 20
    await seals.seal(across_workspaces)
    assert await world.database.fetchval("SELECT count(*) FROM audit_logs") == 5
    assert (await faults(world))[0] == []


async def keep(world: World, days: int, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """As the operator says, to the process and, by a start, to the database."""
    if monkeypatch is not None:
        monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"audit_days": days}))
    await world.database.execute(KEEP, "audit_logs", days)


async def with_a_month_long_ago(world: World) -> datetime:
    """The begin of a month whose partition the owner has made."""
    begin: datetime = await world.database.fetchval("SELECT date_trunc('month', now(), 'UTC') - interval '4 months'")
    await part_off(world.database, "audit_logs", "long_ago", begin, begin + timedelta(days=31))
    return begin


async def test_a_row_that_commits_late_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a lower number than one that is committed: nothing is sealed past it."""
    monkeypatch.setattr(seals, "LOOKS", 2)
    sql = (
        "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data)"
        " VALUES ($1, $2, 'system', 'create', 'AGENT', '{}')"
    )
    async with database.lease() as conn:
        await conn.fetchval("SELECT set_config('crewship.workspaces', '*', false)")
        await conn.execute("BEGIN")
        await conn.fetchrow(sql + " RETURNING 1", "late", world.workspace.id)
        await world.database.execute(sql, "early", world.workspace.id)
        await seals.seal(across_workspaces)
        assert (await faults(world))[1].rows == ROWS
        await conn.execute("COMMIT")
    await seals.seal(across_workspaces)
    texts, found = await faults(world)
    assert (texts, found.rows) == ([], ROWS + 2)


async def test_a_row_of_a_transaction_with_a_later_id_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction of the lower number began after that of the higher one, which is the last that has ended."""
    monkeypatch.setattr(seals, "LOOKS", 2)
    sql = (
        "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data)"
        " VALUES ($1, $2, 'system', 'create', 'AGENT', '{}') RETURNING 1"
    )
    first, second = [await connect(world_dsn(world), EVERYTHING) for _ in range(2)]
    try:
        for conn in (first, second):
            await conn.execute("BEGIN")
            await conn.fetchval("SELECT pg_current_xact_id()::text")
        await second.fetchrow(sql, "lower", world.workspace.id)
        await first.fetchrow(sql, "higher", world.workspace.id)
        await first.execute("COMMIT")
        await seals.seal(across_workspaces)
        assert (await faults(world))[1].rows == ROWS
        await second.execute("COMMIT")
    finally:
        await first.close()
        await second.close()
    await seals.seal(across_workspaces)
    texts, found = await faults(world)
    assert (texts, found.rows) == ([], ROWS + 2)


async def test_writers_of_several_workspaces_meet_and_nothing_is_left_out(world: World) -> None:
    async def writer(place: str, number: int) -> None:
        conn = await connect(world_dsn(world), EVERYTHING)
        try:
            for n in range(50):
                await conn.fetchrow(
                    "INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, data)"
                    " VALUES ($1, $2, 'system', 'create', 'AGENT', '{}') RETURNING 1",
                    f"w{number}-{n}",
                    place,
                )
        finally:
            await conn.close()

    async def sealing() -> None:
        for _ in range(20):
            await seals.seal(across_workspaces)
            await asyncio.sleep(0.01)

    places = [world.workspace.id, world.other.id] * 4
    await asyncio.gather(*[writer(place, n) for n, place in enumerate(places)], sealing())
    await seals.seal(across_workspaces)
    texts, found = await faults(world)
    assert texts == []
    assert (found.rows, found.workspaces) == (ROWS + 400, 2)
    assert (await faults(world, workspace=world.other.id))[1].rows == 200


def world_dsn(world: World) -> str:
    url = world.settings.database_url
    assert url is not None
    return url.get_secret_value()


def test_a_signature_is_of_its_content_and_key() -> None:
    one, other = Signatures({1: b"a" * 32}), Signatures({2: b"b" * 32, 1: b"a" * 32})
    signature = one.sign(b"content")
    assert one.signed(b"content", signature)
    assert other.signed(b"content", signature)
    assert not one.signed(b"contents", signature)
    assert not one.signed(b"content", other.sign(b"content"))
    assert not one.signed(b"content", b"")
