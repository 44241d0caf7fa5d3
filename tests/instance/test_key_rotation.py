"""Keys that wrap follow each other, data keys too, and one goes when nothing needs it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from crewship.cli.reseal import ADD, drop, needed, reseal
from crewship.process import keys
from crewship.process.database import Access
from models.people.workspaces import Workspace
from models.sealed import Sealed
from resolvers.errors import Code, Refusal
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from tests.instance.test_reseal import INSERT, OLD, THIRD, dsn_of, fill, place, vault_of
from tests.world import World, settings_for, world_on

pytestmark = pytest.mark.anyio
LAST = "ENCRYPTION_KEY_V3"
SEAL = """
    INSERT INTO audit_seals (workspace_id, number, first_seq, last_seq, rows, first_at, last_at, hash, signature)
    VALUES ($1, 1, 1, 1, 1, now(), now(), 'hash', $2)
"""


@pytest.fixture
async def own(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    """A world in which nothing was sealed yet."""
    async with world_on(database, tmp_path) as made:
        yield made


async def test_data_keys_are_wrapped_anew_and_an_old_key_goes_when_nothing_needs_it(own: World, tmp_path: Path) -> None:
    dsn, id = dsn_of(own), "cwrapped"
    access = Access(dsn, dsn, None)
    sealed = await instance.vault.seal("kept", **place(id), workspace_id=own.workspace.id)
    await own.database.execute(INSERT, own.workspace.id, [id], [bytes(sealed)])
    [old] = await fill(own.database, own.workspace.id, 1)
    await own.database.execute(
        "INSERT INTO instance_facts (name, value) VALUES ('key.ENCRYPTION_KEY', $1)",
        keys.fingerprint("ENCRYPTION_KEY", OLD),
    )
    three = settings_for(dsn, tmp_path, encryption_keys={3: SecretStr(THIRD)})
    found = await needed(three, access)
    assert (found.wraps, found.keys) == ("ENCRYPTION_KEY_V3", {"ENCRYPTION_KEY": 2})
    with pytest.raises(keys.KeysError, match="still needed for 2"):
        await drop(three, access, "ENCRYPTION_KEY")
    with pytest.raises(keys.KeysError, match="is the current key"):
        await drop(three, access, "ENCRYPTION_KEY_V3")
    with pytest.raises(keys.KeysError, match="is not an encryption key"):
        await drop(three, access, "NEXTAUTH_SECRET")
    signature = instance.vault.sign(b"a seal")
    await own.database.execute(SEAL, own.workspace.id, signature)

    done = await reseal(three, access, lambda _: None)
    assert (done.wrapped, done.values, done.unopenable) == (1, 1, 0)
    assert done.needed.keys == {"ENCRYPTION_KEY_V3": 1, "ENCRYPTION_KEY": 1}  # the seal of the audit log
    with pytest.raises(keys.KeysError, match="still needed for 1"):
        await drop(three, access, "ENCRYPTION_KEY")
    await own.database.execute("DELETE FROM audit_seals")
    await drop(three, access, "ENCRYPTION_KEY")
    alone = settings_for(dsn, tmp_path, encryption_key=None, encryption_keys={3: SecretStr(THIRD)})
    await keys.settle(alone, dsn)
    vault = vault_of(THIRD)
    for each, text in ((id, "kept"), (old, f"of {old}")):
        stored = await own.database.fetchval("SELECT value FROM credentials WHERE id = $1", each)
        assert (await vault.open(Sealed(stored), **place(each))).reveal() == text
    with pytest.raises(keys.KeysError, match="ENCRYPTION_KEY_V3 wraps 1 data keys"):
        await keys.settle(settings_for(dsn, tmp_path), dsn)


async def test_a_data_key_is_replaced_and_goes_when_nobody_seals_with_it(own: World, tmp_path: Path) -> None:
    dsn = dsn_of(own)
    access, settings, vault = Access(dsn, dsn, None), settings_for(dsn, tmp_path), vault_of(OLD)
    for number, workspace in enumerate((own.workspace.id, own.other.id)):
        id = f"creplaced{number}"
        sealed = await vault.seal(id, **place(id), workspace_id=workspace)
        await own.database.execute(INSERT, workspace, [id], [bytes(sealed)])
    before = {row["id"] for row in await own.database.fetch("SELECT id FROM data_keys")}
    done = await reseal(settings, access, lambda _: None, new_keys=True)
    assert (done.made, done.values, done.removed, done.needed.retired) == (len(before), 2, 0, len(before))
    again = await reseal(settings, access, lambda _: None)
    assert (again.made, again.values, again.needed.retired) == (0, 0, len(before))
    late = await vault.seal("late", **place("clate"), workspace_id=own.workspace.id)  # it still knows the one before
    await own.database.execute(INSERT, own.workspace.id, ["clate"], [bytes(late)])
    await own.database.execute("UPDATE data_keys SET retired_at = now() - interval '2 hours' WHERE retired_at < now()")
    last = await reseal(settings, access, lambda _: None)
    assert (last.values, last.removed, last.needed.retired) == (1, len(before), 0)
    assert not before & {row["id"] for row in await own.database.fetch("SELECT id FROM data_keys")}
    for id, text in (("creplaced0", "creplaced0"), ("creplaced1", "creplaced1"), ("clate", "late")):
        stored = await own.database.fetchval("SELECT value FROM credentials WHERE id = $1", id)
        assert (await vault_of(OLD).open(Sealed(stored), **place(id))).reveal() == text


@pytest.fixture
async def third(own: World, tmp_path: Path) -> tuple[Settings, Access]:
    """A server that wraps with the third key, and still knows the first, of which the database knows, too."""
    dsn = dsn_of(own)
    known = [(f"key.{name}", keys.fingerprint(name, key)) for name, key in (("ENCRYPTION_KEY", OLD), (LAST, THIRD))]
    await own.database.executemany("INSERT INTO instance_facts (name, value) VALUES ($1, $2)", known)
    return settings_for(dsn, tmp_path, encryption_keys={3: SecretStr(THIRD)}), Access(dsn, dsn, None)


async def fact(world: World) -> str:
    return str(await world.database.fetchval("SELECT value FROM instance_facts WHERE name = 'key.ENCRYPTION_KEY'"))


async def test_a_drop_waits_for_whoever_is_about_to_need_the_key(own: World, third: tuple[Settings, Access]) -> None:
    made = await vault_of(OLD).data_keys.make(own.workspace.id)
    writing = await asyncpg.connect(dsn_of(own))
    try:
        await writing.execute("BEGIN; SELECT set_config('crewship.workspaces', '*', true)")
        await writing.execute(ADD, made.id, own.workspace.id, *made.wrapped)
        dropping = asyncio.create_task(drop(*third, "ENCRYPTION_KEY"))
        while not await own.database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            assert not dropping.done()
            await asyncio.sleep(0.01)
        await writing.execute("COMMIT")
        with pytest.raises(keys.KeysError, match="still needed for 1"):
            await dropping
    finally:
        await writing.close()
    assert await fact(own) == keys.fingerprint("ENCRYPTION_KEY", OLD)


async def test_nothing_is_written_that_needs_a_dropped_key(own: World, third: tuple[Settings, Access]) -> None:
    old = vault_of(OLD)
    await own.database.execute(SEAL, own.workspace.id, vault_of(THIRD).sign(b"a seal"))
    await drop(*third, "ENCRYPTION_KEY")
    before = await own.snapshot()
    with pytest.raises(Refusal) as refused:
        await old.seal("late", **place("clate"), workspace_id=own.workspace.id)
    assert (refused.value.code, OLD in str(refused.value)) == (Code.UNAVAILABLE, False)
    signed = old.sign(b"a seal")
    for sql, values in (
        (SEAL.replace("$1, 1,", "$1, 2,"), (own.workspace.id, signed)),
        ("UPDATE audit_seals SET dropped_signature = $1", (signed,)),
        ("UPDATE audit_logs SET erased_signature = $1", (signed,)),
        ("UPDATE audit_seals SET signature = $1", (signed,)),
    ):
        if "audit_logs" in sql:
            await own.rest(own.owner, "POST", "/api/v1/labels", {"name": "Told", "color": "#112233"})
            before = await own.snapshot()
        with pytest.raises(asyncpg.PostgresError, match="ENCRYPTION_KEY was dropped"):
            await own.database.execute(sql, *values)
    assert await own.snapshot() == before
    await own.database.execute("UPDATE audit_seals SET rows = rows, dropped_signature = $1", vault_of(THIRD).sign(b"x"))
    with pytest.raises(keys.KeysError, match="ENCRYPTION_KEY was dropped"):
        await keys.settle(settings_for(dsn_of(own), own.settings.data_dir), dsn_of(own))


@pytest.mark.slow
async def test_drops_rotations_and_an_old_server_at_once(own: World, third: tuple[Settings, Access]) -> None:
    """Whatever was written can be read with the key that is left, and what cannot was refused."""
    workspaces = [Workspace(name=f"W{number}", slug=f"w{number}") for number in range(60)]
    await own.add(*workspaces)
    written, refused, let_go = list[str](), list[str](), list[bool]()

    async def old_server() -> None:
        for number, workspace in enumerate(workspaces):
            id, late = f"cold{number}", bool(let_go)
            try:
                sealed = await vault_of(OLD).seal(id, **place(id), workspace_id=workspace.id)
            except Refusal:
                refused.append(id)
                if late:
                    return
                continue
            await own.database.execute(INSERT, workspace.id, [id], [bytes(sealed)])
            written.append(id)
            await asyncio.sleep(0.01 if number % 8 else 0.5)  # an operator gets through now and then

    async def operator() -> None:
        while not let_go:
            try:
                await drop(*third, "ENCRYPTION_KEY")
                let_go.append(True)
            except keys.KeysError as error:
                if "still needed" not in str(error):
                    raise
                await reseal(*third, lambda _: None)

    await asyncio.gather(operator(), operator(), old_server())
    assert written
    assert refused, "there was none that came too late"
    assert await fact(own) == keys.DROPPED
    assert (await needed(*third)).keys.get("ENCRYPTION_KEY", 0) == 0
    alone = vault_of(THIRD)
    for id in written:
        stored = await own.database.fetchval("SELECT value FROM credentials WHERE id = $1", id)
        assert (await alone.open(Sealed(stored), **place(id))).reveal() == id
