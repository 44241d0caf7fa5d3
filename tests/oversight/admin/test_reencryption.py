"""All secrets of the server are brought under the present key, and nothing of their rows changes otherwise."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.base import new_id
from models.resources.credentials import Credential
from models.sealed import Sealed
from resolvers.instance.running import instance
from resolvers.instance.vault import Vault
from resolvers.kernel.background.data_keys import DataKeyStore
from tests.sealing import sealed_before
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/admin/reencrypt"
OLD, NEW = bytes.fromhex("ab" * 32), bytes.fromhex("12" * 32)
BROKEN = b"\xff\x01\x01\x02\x03"
ROWS = "SELECT id, version, updated_at, deleted_at, value FROM credentials WHERE id = ANY($1) ORDER BY id"


@pytest.fixture
async def keyed(world: World) -> AsyncIterator[World]:
    """The server has a newer key."""
    before, instance._vault = instance.vault, Vault({2: NEW, 1: OLD}, DataKeyStore())
    yield world
    instance._vault = before
    await world.database.execute("DELETE FROM credentials")
    await world.database.execute("DELETE FROM data_keys")


def place(id: str) -> dict[str, Any]:
    return {"table": Credential, "column": "value", "row_id": id}


async def add(world: World, workspace_id: str, value: Any) -> str:
    row = Credential(workspace_id=workspace_id, name=new_id(), type="SECRET", value=None)
    await world.add(row)
    sealed = value(row.id) if callable(value) else value
    await world.database.execute("UPDATE credentials SET value = $2, version = 7 WHERE id = $1", row.id, sealed)
    return row.id


def before(id: str) -> bytes:
    return bytes(sealed_before(f"of {id}", **place(id), key=OLD))


def of_values(answer: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in answer["columns"] if (each["table"], each["column"]) == ("credentials", "value"))


async def test_old_values_are_encrypted_again_and_the_rest_stays(keyed: World) -> None:
    old = [await add(keyed, whose, before) for whose in (keyed.workspace.id, keyed.other.id) for _ in range(2)]
    await keyed.database.execute("UPDATE credentials SET deleted_at = now() WHERE id = $1", old[0])
    broken = await add(keyed, keyed.workspace.id, BROKEN)
    ids = [*old, broken]
    rows = {row["id"]: dict(row) for row in await keyed.database.fetch(ROWS, ids)}
    answer = await keyed.rest(keyed.admin, "POST", PATH)
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert of_values(done) == {
        "table": "credentials", "column": "value", "reencrypted": 4, "skipped": 0, "failed": 1,
    }  # fmt: skip
    assert (done["key_version"], done["failed"]) == ("v2", 1)
    assert done["reencrypted"] == sum(each["reencrypted"] for each in done["columns"]) >= 4
    only_new = Vault({2: NEW}, DataKeyStore())
    for row in await keyed.database.fetch(ROWS, ids):
        was = rows[row["id"]]
        assert dict(row) | {"value": None} == was | {"value": None}, "neither version nor time"
        if row["id"] == broken:
            assert row["value"] == BROKEN
        else:
            assert (await only_new.open(Sealed(row["value"]), **place(row["id"]))).reveal() == f"of {row['id']}"
    again = of_values((await keyed.rest(keyed.owner, "POST", PATH)).json())
    assert (again["reencrypted"], again["skipped"], again["failed"]) == (0, 4, 1)
    logged = [row for row in await keyed.audit() if row["action"] == "admin.reencrypt"]
    assert [row["data"]["failed"] for row in logged[-2:]] == [1, 1]
    assert (logged[-1]["entity_type"], logged[-1]["entity_id"]) == ("INSTANCE", None)


async def test_data_keys_are_wrapped_by_the_present_key(keyed: World) -> None:
    instance._vault = Vault({1: OLD, 2: NEW}, DataKeyStore())
    sealed = await add(keyed, keyed.workspace.id, BROKEN)
    text = await instance.vault.seal("inner", **place(sealed), workspace_id=keyed.workspace.id)
    await keyed.database.execute("UPDATE credentials SET value = $2 WHERE id = $1", sealed, bytes(text))
    assert {row[0] for row in await keyed.database.fetch("SELECT wrapped_by FROM data_keys")} == {"ENCRYPTION_KEY"}
    instance._vault = Vault({2: NEW, 1: OLD}, DataKeyStore())
    done = (await keyed.rest(keyed.admin, "POST", PATH)).json()
    keys = done["columns"][0]
    assert (keys["table"], keys["column"], keys["failed"]) == ("data_keys", "wrapped", 0)
    assert keys["reencrypted"] == await keyed.database.fetchval("SELECT count(*) FROM data_keys")
    assert {row[0] for row in await keyed.database.fetch("SELECT wrapped_by FROM data_keys")} == {"ENCRYPTION_KEY_V2"}
    assert (await Vault({2: NEW}, DataKeyStore()).open(Sealed(text), **place(sealed))).reveal() == "inner"


async def test_a_value_under_a_retired_data_key_is_encrypted_again(keyed: World) -> None:
    id = await add(keyed, keyed.workspace.id, BROKEN)
    text = await instance.vault.seal("inner", **place(id), workspace_id=keyed.workspace.id)
    await keyed.database.execute("UPDATE credentials SET value = $2 WHERE id = $1", id, bytes(text))
    await keyed.database.execute("UPDATE data_keys SET retired_at = now()")
    instance._vault = Vault({2: NEW, 1: OLD}, DataKeyStore())
    assert of_values((await keyed.rest(keyed.admin, "POST", PATH)).json())["reencrypted"] == 1
    now = await keyed.database.fetchval("SELECT value FROM credentials WHERE id = $1", id)
    assert now[:14] != bytes(text)[:14]
    assert (await instance.vault.open(Sealed(now), **place(id))).reveal() == "inner"


async def test_only_administrators_may(keyed: World) -> None:
    id = await add(keyed, keyed.workspace.id, before)
    was = await keyed.database.fetchval("SELECT value FROM credentials WHERE id = $1", id)
    for who in (keyed.manager, keyed.viewer, keyed.outsider):
        assert (await keyed.rest(who, "POST", PATH)).status_code == 403
    assert await keyed.database.fetchval("SELECT value FROM credentials WHERE id = $1", id) == was
    ask = "mutation ($ws: ID) { reencryptSecrets(workspaceId: $ws) { keyVersion reencrypted failed } }"
    refused = await keyed.graphql(keyed.manager, ask)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    done = (await keyed.graphql(keyed.admin, ask))["data"]["reencryptSecrets"]
    assert (done["keyVersion"], done["failed"]) == ("v2", 0)
    assert done["reencrypted"] >= 1
