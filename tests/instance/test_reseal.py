"""Secrets are sealed anew while others write them, by a command that may be cut off at any moment."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from crewship.cli.reseal import places, reseal
from crewship.process.database import Access
from models.resources.credentials import Credential
from models.sealed import Sealed
from resolvers.instance.vault import Vault
from resolvers.kernel.background.data_keys import DataKeyStore
from tests.sealing import sealed_before
from tests.world import World, settings_for

pytestmark = pytest.mark.anyio
OLD, NEW, THIRD = "ab" * 32, "12" * 32, "34" * 32
INSERT = """
    INSERT INTO credentials (id, workspace_id, name, type, provider, status, scope, version, security_level, tags,
        last_used_ips, oauth_names_issuer, value)
    SELECT made.id, $1, made.id, 'SECRET', 'NONE', 'ACTIVE', 'WORKSPACE', 1, 1, '[]', '[]', false, made.value
    FROM unnest($2::text[], $3::bytea[]) AS made (id, value)
"""


def dsn_of(world: World) -> str:
    assert world.settings.database_url is not None
    return world.settings.database_url.get_secret_value()


def place(id: str) -> dict[str, Any]:
    return {"table": Credential, "column": "value", "row_id": id}


async def fill(conn: Any, workspace_id: str, number: int) -> list[str]:
    ids = [f"creseal{secrets.token_hex(8)}" for _ in range(number)]
    for at in range(0, number, 5_000):
        part = ids[at : at + 5_000]
        await conn.execute(INSERT, workspace_id, part, [before(f"of {id}", id) for id in part])
    return ids


def before(text: str, id: str) -> bytes:
    """As it was sealed before there were data keys."""
    return bytes(sealed_before(text, **place(id), key=bytes.fromhex(OLD)))


def vault_of(*keys: str) -> Vault:
    return Vault({{OLD: 1, NEW: 2, THIRD: 3}[key]: bytes.fromhex(key) for key in keys}, DataKeyStore())


def test_every_column_of_secrets_is_known() -> None:
    found = {(model.__name__, column) for model, column in places()}
    for column in ("value", "refresh_token", "oauth_client_secret"):
        assert ("Credential", column) in found
    assert {("CredentialRotation", "old_value"), ("WebhookEndpoint", "secret"), ("InstanceSetting", "secret")} <= found


async def test_values_are_sealed_anew_and_what_nobody_can_open_stays(world: World, tmp_path: Path) -> None:
    ids = await fill(world.database, world.workspace.id, 1_203)
    stray = ids.pop()
    await world.database.execute("UPDATE credentials SET value = '\\xff01010203'::bytea WHERE id = $1", stray)
    settings = settings_for(dsn_of(world), tmp_path, encryption_key_v2=SecretStr(NEW))
    dsn = dsn_of(world)
    told = list[str]()
    done = await reseal(settings, Access(dsn, dsn, None), told.append)
    assert (done.values >= 1_202, done.unopenable) == (True, 1)
    assert "credentials.value" in told
    only_new = vault_of(NEW)
    for row in await world.database.fetch("SELECT id, value FROM credentials WHERE id = ANY($1)", ids):
        assert (await only_new.open(Sealed(row["value"]), **place(row["id"]))).reveal() == f"of {row['id']}"
    kept = await world.database.fetchval("SELECT value FROM credentials WHERE id = $1", stray)
    assert kept == b"\xff\x01\x01\x02\x03"
    again = await reseal(settings, Access(dsn, dsn, None), told.append)
    assert (again.values, again.unopenable) == (0, 1)
    assert again.needed.keys["ENCRYPTION_KEY"] >= 1


async def run_rotation(settings_dsn: str, data_dir: Path) -> subprocess.Popen[str]:
    environment = os.environ | {
        "DATABASE_URL": settings_dsn, "ENCRYPTION_KEY": OLD, "ENCRYPTION_KEY_V2": NEW,
        "NEXTAUTH_SECRET": "a secret of tests, long enough to be one", "CREWSHIP_DATA_DIR": str(data_dir),
        "CREWSHIP_ADMIN_TOKEN_HMAC_KEY": "cd" * 32,
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("crewship")), "keys", "rotate"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
async def test_a_hundred_thousand_under_load_with_a_kill_in_the_middle(world: World, tmp_path: Path) -> None:
    """RESEAL_ROWS says how many."""
    number = int(os.environ.get("RESEAL_ROWS", "100000"))
    dsn = dsn_of(world)
    await world.database.execute("DELETE FROM credentials WHERE id LIKE 'creseal%'")  # of the test before
    ids = await fill(world.database, world.workspace.id, number)
    vault, errors, writes, stop = vault_of(NEW, OLD), list[str](), dict[str, str](), asyncio.Event()
    count = "SELECT count(*) FROM credentials WHERE get_byte(value, 1) = 1"

    async def load(worker: int) -> None:
        conn, at = await asyncpg.connect(dsn), worker
        await conn.execute("SELECT set_config('crewship.workspaces', '*', false)")
        while not stop.is_set():
            id, at = ids[(at * 7_919) % number], at + 4
            try:
                async with conn.transaction():
                    stored = await conn.fetchval("SELECT value FROM credentials WHERE id = $1 FOR NO KEY UPDATE", id)
                    if (await vault.open(Sealed(stored), **place(id))).reveal() != writes.get(id, f"of {id}"):
                        errors.append(f"{id} holds another value")
                    if at % 3 == 0:
                        text = secrets.token_hex(4)
                        sealed = bytes(await vault.seal(text, **place(id), workspace_id=world.workspace.id))
                        await conn.execute("UPDATE credentials SET value = $1 WHERE id = $2", sealed, id)
                        writes[id] = text
            except Exception as error:
                errors.append(repr(error))
            await asyncio.sleep(0.002)
        await conn.close()

    workers = [asyncio.create_task(load(worker)) for worker in range(2)]
    began = time.perf_counter()
    first = await run_rotation(dsn, tmp_path)
    while first.poll() is None and await world.database.fetchval(count) > number * 0.6:
        await asyncio.sleep(0.05)
    assert first.poll() is None
    first.send_signal(signal.SIGKILL)
    first.communicate()
    left = await world.database.fetchval(count)
    assert 0 < left < number
    second = await run_rotation(dsn, tmp_path)
    while second.poll() is None:
        await asyncio.sleep(0.1)
    took = time.perf_counter() - began
    stop.set()
    await asyncio.gather(*workers)
    said = second.communicate()[0]
    print(f"{number} values, killed with {left} left: {took:.1f} s, {len(writes)} written meanwhile, {errors=}")
    assert (second.returncode, errors) == (0, []), said
    assert await world.database.fetchval(count) == 0
    only_new = vault_of(NEW)
    for row in await world.database.fetch("SELECT id, value FROM credentials WHERE id = ANY($1)", ids):
        assert (await only_new.open(Sealed(row["value"]), **place(row["id"]))).reveal() == writes.get(
            row["id"], f"of {row['id']}"
        )
