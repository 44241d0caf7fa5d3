"""The service removes and changes rows of the audit log through functions of the owner, which go no further than
retention and the erasure of persons do.
"""

from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from models.kernel import AuditLog
from models.retention import RetentionKind
from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.kernel.background.retention import kinds
from resolvers.kernel.store.database import database
from resolvers.kernel.writing.persons import PERSONAL_DIGEST
from resolvers.oversight.audit import seals
from resolvers.oversight.audit.verification import Verified, verify
from tests.oversight.audit.test_chain import keep, with_a_month_long_ago, write
from tests.world import World, now

pytestmark = pytest.mark.anyio
ROWS = "SELECT count(*) FROM audit_logs"
REMOVE = "SELECT audit_remove($1, $2, 'said')"
LET_GO = "SELECT count(*) FROM audit_let_go($1, $2, $3, $4, $5)"
DROP = "SELECT drop_partitions('audit_logs', now() + interval '1 year')"
KEPT = "user_id, actor_id, ip_address, data, changes, salt, erased, erased_signature"
PARTS = "SELECT count(*) FROM partitions_of('audit_logs')"


@pytest.fixture(autouse=True)
async def empty(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "PORTION", 10)
    await world.database.execute("DELETE FROM audit_logs; DELETE FROM audit_seals; DELETE FROM retention_rules")
    await world.database.execute("DELETE FROM kept_days")


async def as_the_service(sql: str, *values: Any) -> Any:
    """In a transaction of the instance: row-level security keeps nothing from it."""
    return await across_workspaces(lambda rows: rows.fetchval(sql, *values))


async def faults(world: World) -> list[str]:
    return [fault.text async for fault in verify(world.database, instance.vault.signed, None, Verified())]


async def sealed(world: World, days: int, number: int = 5) -> int:
    """Rows that are so many days old, in a seal of their own; its number."""
    await write(world, number, created_at=now() - timedelta(days=days))
    await seals.seal(across_workspaces)
    return await world.database.fetchval("SELECT max(number) FROM audit_seals")  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("rule", "age", "goes"),
    [
        (None, 4000, False),
        (0, 4000, False),
        (100, 200, True),
        (100, 99, False),
        (100, 1, False),
        (1, 80, False),  # written past the operation, which takes 90 and more
        (1, 92, True),
    ],
)
async def test_of_a_workspace_goes_what_is_older_than_its_rule_and_90_days(
    world: World, rule: int | None, age: int, goes: bool
) -> None:
    assert kinds()[RetentionKind.audit].least == 90
    number = await sealed(world, age)
    if rule is not None:
        await world.database.execute(
            "INSERT INTO retention_rules (workspace_id, kind, days) VALUES ($1, 'audit', $2)", world.workspace.id, rule
        )
    assert await as_the_service(REMOVE, world.other.id, number) == 0
    assert await as_the_service(REMOVE, world.workspace.id, number) == (5 if goes else 0)
    assert await world.database.fetchval(ROWS) == (0 if goes else 5)
    seal = await world.database.fetchrow("SELECT digests, dropped_at FROM audit_seals WHERE number = $1", number)
    assert seal is not None
    assert (seal["digests"] is None, seal["dropped_at"] is not None) == (goes, goes)
    assert await as_the_service(REMOVE, world.workspace.id, number) == 0


async def test_a_seal_that_is_made_up_takes_no_younger_row_along(world: World) -> None:
    """The service may add a seal; it says of which time its rows are, and no other row goes with it."""
    await sealed(world, 1)
    await world.database.execute(
        "INSERT INTO retention_rules (workspace_id, kind, days) VALUES ($1, 'audit', 90)", world.workspace.id
    )
    added = (
        "INSERT INTO audit_seals"
        " (workspace_id, number, first_seq, last_seq, rows, first_at, last_at, digests, hash, signature)"
        " VALUES ($1, 99, 0, 1000000000, 1, '2000-01-01', '2000-01-02', '', '', '\\x01') RETURNING 1"
    )
    await as_the_service(added, world.workspace.id)
    assert await as_the_service(REMOVE, world.workspace.id, 99) == 0
    assert await world.database.fetchval(ROWS) == 5


async def let_go(world: World, ending: Any, digests: bytes | None) -> int:
    named = ([world.workspace.id], [1], [digests], [b"\x01said"])
    return await as_the_service(LET_GO, ending, *named)  # type: ignore[no-any-return]


@pytest.mark.parametrize("days", [None, 0, 400])
async def test_nothing_is_let_go_that_the_operator_keeps(world: World, days: int | None) -> None:
    month = await with_a_month_long_ago(world)
    if days is not None:
        await keep(world, days)
    await sealed(world, (now() - month).days - 3)
    parts = await world.database.fetchval(PARTS)
    for ending in (now() + timedelta(days=1), month + timedelta(days=31)):
        assert await let_go(world, ending, None) == 0
    await world.database.execute("UPDATE audit_seals SET digests = NULL")  # as if it were let go
    assert await as_the_service(DROP) == 0
    assert (await world.database.fetchval(ROWS), await world.database.fetchval(PARTS)) == (5, parts)


async def test_what_has_expired_is_dropped_when_it_is_sealed_and_let_go(world: World) -> None:
    month = await with_a_month_long_ago(world)
    await keep(world, 30)
    await write(world, 5, created_at=month + timedelta(days=3))
    assert await as_the_service(DROP) == 0, "not sealed"
    await seals.seal(across_workspaces)
    assert await as_the_service(DROP) == 0, "not let go"
    assert await let_go(world, now(), None) == 0, "younger ones too"
    assert await let_go(world, month + timedelta(days=31), None) == 1
    assert await as_the_service(DROP) > 0
    assert await world.database.fetchval(ROWS) == 0


async def test_a_session_that_sees_no_seal_drops_nothing(world: World) -> None:
    """What is asked of the seals is asked of all of them, and the session sees no more than before."""
    month = await with_a_month_long_ago(world)
    await keep(world, 30)
    await write(world, 5, created_at=month + timedelta(days=3))
    await seals.seal(across_workspaces)
    async with database.lease() as conn, conn.transaction():
        await conn.fetchval("SELECT set_config('crewship.workspaces', $1, true)", world.other.id)
        assert await conn.fetchval(DROP) == 0
        assert await conn.fetchval("SELECT current_setting('crewship.workspaces')") == world.other.id
        assert await conn.fetchval(ROWS) == 0
    assert await world.database.fetchval(ROWS) == 5


async def test_digests_of_rows_that_stay_stay(world: World) -> None:
    month = await with_a_month_long_ago(world)
    await keep(world, 30)
    await write(world, 4, created_at=month + timedelta(days=3))
    await write(world, 6)
    await seals.seal(across_workspaces)
    ending = month + timedelta(days=31)
    digests: bytes = await world.database.fetchval("SELECT digests FROM audit_seals")
    assert len(digests) == 16 * 10
    for wrong in (None, b"", digests[: 16 * 5], digests[: 16 * 5 + 3], b"x" * 16 * 6, digests[16 * 5 :] + b"x" * 16):
        assert await let_go(world, ending, wrong) == 0, wrong
    assert await world.database.fetchval("SELECT digests FROM audit_seals") == digests
    assert await let_go(world, ending, digests[16 * 4 :]) == 1


async def test_an_erasure_puts_nothing_in(world: World) -> None:
    """Whoever calls it, a row is left with what was in it or with one word, and with the digest of what there was."""
    person, other = world.member.user_id, world.viewer.user_id
    said: dict[str, Any] = {"action": "update", "entity_type": "USER", "workspace_id": world.workspace.id}
    by = AuditLog(user_id=person, actor_id=person, ip_address="192.0.2.1", data={"email": "a@b.c", "n": "x"}, **said)
    of_other = AuditLog(user_id=other, actor_id=other, data={"email": "a@b.c"}, **said)
    await world.add(by, of_other)
    take_out = "SELECT audit_take_out($1, $2, $3::text::jsonb, '{}', $4::text[])"
    before = await world.database.fetchrow(f"SELECT {KEPT} FROM audit_logs WHERE id = $1", of_other.id)
    values = (person, '{"email": "A@B.C", "n": "y"}', [by.id, of_other.id])
    await as_the_service(take_out, world.other.id, *values)
    assert await world.database.fetchval("SELECT count(*) FROM audit_logs WHERE erased IS NOT NULL") == 0
    digest = await world.database.fetchval(f"SELECT {PERSONAL_DIGEST} FROM audit_logs WHERE id = $1", by.id)
    await as_the_service(take_out, world.workspace.id, *values)
    row = await world.database.fetchrow(f"SELECT {KEPT} FROM audit_logs WHERE id = $1", by.id)
    assert row is not None
    assert (row["user_id"], row["actor_id"], row["ip_address"], row["salt"]) == (None, None, None, None)
    assert (row["data"], row["erased"]) == ({"email": "erased", "n": "x"}, digest)
    after = await world.database.fetchrow(f"SELECT {KEPT} FROM audit_logs WHERE id = $1", of_other.id)
    assert after == before
    sign = "SELECT audit_sign_erased($1, $2::text[], $3::bytea[])"
    await as_the_service(sign, world.workspace.id, [by.id, of_other.id], [b"\x01a", b"\x01b"])
    signed = await world.database.fetch("SELECT id, erased_signature FROM audit_logs ORDER BY seq")
    assert [row["erased_signature"] for row in signed] == [b"\x01a", None]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit_logs",
        "UPDATE audit_logs SET data = '{}'",
        "UPDATE audit_logs SET erased_signature = NULL",
        "SELECT 1 FROM audit_logs FOR UPDATE",
        "DELETE FROM audit_seals",
        "UPDATE audit_seals SET digests = NULL",
        "UPDATE kept_days SET days = 1",
        "INSERT INTO kept_days (name, days) VALUES ('audit_logs', 1)",
        "TRUNCATE audit_logs",
    ],
)
async def test_the_service_itself_changes_and_removes_nothing(world: World, statement: str) -> None:
    await sealed(world, 4000)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await across_workspaces(lambda rows: rows.fetch(statement))
    assert await world.database.fetchval(ROWS) == 5
    assert await faults(world) == []
