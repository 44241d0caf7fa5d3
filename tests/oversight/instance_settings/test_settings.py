"""Settings of the instance, as the contract states them; and that a secret among them is nowhere to be read."""

import asyncio
from typing import Any

import asyncpg
import orjson
import pytest

from models.bounds import SETTING
from models.oversight.instance_settings import InstanceSetting, is_sensitive
from models.sealed import Sealed
from resolvers.instance.running import instance
from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
SETTINGS = "/api/v1/instance/settings"
SECRET = "hunter2-9f8e7d6c5b4a"
SET = """
    mutation($ws: ID, $in: SetInstanceSettingInput!) {
        setInstanceSetting(workspaceId: $ws, input: $in) { value }
    }
"""
READ = """
    query($ws: ID, $key: String!) {
        instanceSettings(workspaceId: $ws) { key value }
        instanceSetting(workspaceId: $ws, key: $key) { value }
    }
"""
SENSITIVE = [
    "smtp.password",
    "smtp.password.legacy",
    "smtp.password_hint",
    "oauth.google.client_secret",
    "oauth.a.b.client_secret",
    "oauth.client_secret",
    "webhook.x.secret",
    "webhook.secret",
]
PLAIN = [
    "smtp.host",
    "smtp_password",
    "SMTP.password",
    "oauth.x.client_id",
    "oauth.x.client_secret2",
    "oauthx.client_secret",
    "oauth.xxclientxsecret",
    "webhook.x.url",
    "webhook.x.Secret",
    "x.webhook.x.secret",
]


async def put(world: World, key: str, value: Any, person: Person | None = None) -> dict[str, Any]:
    answer = await world.rest(person or world.owner, "PUT", f"{SETTINGS}/{key}", {"value": value})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def last_event(world: World) -> int:
    return max([event["seq"] for event in await world.events()], default=0)


async def told(world: World, since: int) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event["channel"], event["type"], event["payload"]) for event in await world.events(since)]


async def everything(world: World) -> str:
    """All rows of the database, as text."""
    rows = []
    for (table,) in await world.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        rows += [str(row[0]) for row in await world.database.fetch(f'SELECT to_jsonb(t)::text FROM "{table}" t')]
    return "\n".join(rows)


async def test_a_setting_is_made_replaced_read_and_deleted(world: World) -> None:
    since = await last_event(world)
    made = await put(world, "mail.host", "one.example.com")
    assert made == {"key": "mail.host", "value": "one.example.com", "updated_at": made["updated_at"]}
    changed = await put(world, "mail.host", "", world.admin)
    assert changed["value"] == ""
    assert changed["updated_at"] >= made["updated_at"]
    read = await world.rest(world.manager, "GET", f"{SETTINGS}/mail.host")
    assert read.json() == changed
    elsewhere = await world.rest(world.outsider, "GET", f"{SETTINGS}/mail.host", workspace=world.other.id)
    assert elsewhere.json() == changed
    gone = await world.rest(world.admin, "DELETE", f"{SETTINGS}/mail.host")
    assert (gone.status_code, gone.content) == (204, b"")
    channel, payload = f"workspace:{world.workspace.id}", {"key": "mail.host"}
    updated, deleted = "instance_setting.updated", "instance_setting.deleted"
    assert await told(world, since) == [(channel, type, payload) for type in (updated, updated, deleted)]
    for method in ("GET", "DELETE"):
        assert (await world.rest(world.admin, method, f"{SETTINGS}/mail.host")).status_code == 404
    told_of = [row["action"] for row in await world.audit() if row["entity_type"] == "INSTANCE_SETTING"][-3:]
    assert told_of == ["instance_setting.set", "instance_setting.set", "instance_setting.deleted"]


async def test_settings_are_listed_by_key_to_those_who_manage(world: World) -> None:
    for key in ("order.b", "order.a", "Order", "order%2Fkey%20x"):
        await put(world, key, key)
    rows = (await world.rest(world.manager, "GET", SETTINGS)).json()
    assert [row["key"] for row in rows if row["key"].lower().startswith("order")] == [
        "Order",
        "order.a",
        "order.b",
        "order/key x",
    ]
    for path in (SETTINGS, f"{SETTINGS}/order.a", f"{SETTINGS}/unknown"):
        assert (await world.rest(world.member, "GET", path)).status_code == 403


@each_of("body", [{}, {"value": None}, {"value": 1}, {"value": {"a": "b"}}, [], "value"])
async def test_a_bad_value_is_refused_and_writes_nothing(world: World, body: Any) -> None:
    before = await world.snapshot()
    assert (await world.rest(world.owner, "PUT", f"{SETTINGS}/bad", body)).status_code == 400
    assert (await world.rest(world.manager, "PUT", f"{SETTINGS}/bad", body)).status_code == 403
    assert await world.snapshot() == before


async def test_a_value_has_a_longest_length(world: World) -> None:
    value = "x" * SETTING
    for key in ("large", "smtp.password.large"):
        await put(world, key, value)
    assert (await world.rest(world.owner, "GET", f"{SETTINGS}/large")).json()["value"] == value
    answer = await world.rest(world.owner, "PUT", f"{SETTINGS}/large", {"value": value + "x"})
    assert answer.status_code == 400
    await world.database.execute("DELETE FROM instance_settings WHERE key LIKE '%large'")


@pytest.mark.parametrize("key", ["instance.bootstrap_at", "instance.first_user_id", "schema.version"])
async def test_a_protected_setting_is_written_and_never_deleted(world: World, key: str) -> None:
    path, before = f"{SETTINGS}/{key}", await world.snapshot()
    refused = await world.rest(world.owner, "DELETE", path)
    assert refused.status_code == 403, "whether it is there or not"
    assert "protected" in refused.json()["detail"]
    assert refused.headers["content-type"] == "application/problem+json"
    by_role = await world.rest(world.manager, "DELETE", path)
    assert "protected" not in by_role.json()["detail"], "the role comes first"
    assert by_role.headers["content-type"] == "application/json", "by which clients tell the two"
    assert await world.snapshot() == before
    await put(world, key, "1")
    assert (await world.rest(world.owner, "DELETE", path)).status_code == 403
    assert (await world.rest(world.owner, "GET", path)).json()["value"] == "1"


async def test_one_key_is_one_setting_whoever_writes_it_at_once(world: World) -> None:
    values = [f"value {n}" for n in range(8)]
    await asyncio.gather(*[put(world, "contested", value) for value in values])
    rows = await world.database.fetch("SELECT plain FROM instance_settings WHERE key = 'contested'")
    assert len(rows) == 1
    assert rows[0]["plain"] in values


# ---- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", SENSITIVE)
async def test_a_secret_is_stored_sealed_and_shown_nowhere(
    world: World, key: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = [(await put(world, key, SECRET))["value"]]
    changed = await world.graphql(world.owner, SET, {"in": {"key": key, "value": SECRET}})
    answers.append(changed["data"]["setInstanceSetting"]["value"])
    answers.append((await world.rest(world.owner, "GET", f"{SETTINGS}/{key}")).json()["value"])
    listed = await world.rest(world.owner, "GET", SETTINGS)
    answers += [row["value"] for row in listed.json() if row["key"] == key]
    graph = await world.graphql(world.owner, READ, {"key": key})
    answers.append(graph["data"]["instanceSetting"]["value"])
    assert answers == ["***"] * 5
    dump = await everything(world)
    written = f"{listed.text} {orjson.dumps(graph).decode()} {dump} {caplog.text} {capfd.readouterr()}"
    assert key in dump
    for form in (SECRET, SECRET.encode().hex()):
        assert form not in written
    row = await world.database.fetchrow("SELECT id, plain, secret FROM instance_settings WHERE key = $1", key)
    assert row["plain"] is None
    opened = await instance.vault.open(Sealed(row["secret"]), table=InstanceSetting, column="secret", row_id=row["id"])
    assert opened.reveal() == SECRET


async def test_an_empty_secret_reads_like_any(world: World) -> None:
    assert (await put(world, "smtp.password.empty", ""))["value"] == "***"


async def test_a_repeated_request_answers_as_the_first_did(world: World) -> None:
    """The answer that is kept for it is the redacted one."""
    path, sent = f"{SETTINGS}/webhook.again.secret", {"value": SECRET}
    one, two = [await world.rest(world.owner, "PUT", path, sent, **{"idempotency-key": "again"}) for _ in range(2)]
    assert one.json() == two.json()
    assert two.headers["idempotent-replayed"] == "true"
    kept = await world.database.fetchval("SELECT body FROM idempotency_keys WHERE key = 'again'")
    assert SECRET.encode() not in kept


async def test_a_refusal_does_not_repeat_the_secret(world: World) -> None:
    for body in ({"value": [SECRET]}, {"value": {SECRET: SECRET}}, {"value": f"{SECRET}\0"}):
        answer = await world.rest(world.owner, "PUT", f"{SETTINGS}/smtp.password", body)
        assert answer.status_code == 400
        assert SECRET not in answer.text


@each_of("key", PLAIN)
async def test_other_settings_are_shown(world: World, key: str) -> None:
    assert (await put(world, key, "visible"))["value"] == "visible"


@each_of("key", [*SENSITIVE, *PLAIN])
async def test_the_database_keeps_the_two_kinds_apart(world: World, key: str) -> None:
    """By the same rule as the program: a secret in the plain column is refused, whoever writes it."""
    await world.database.execute("DELETE FROM instance_settings")
    insert = "INSERT INTO instance_settings (id, key, plain, secret) VALUES ('c1', $1, $2, $3)"
    plain, sealed = ("x", None), (None, b"\xffx")
    wrong, right = (plain, sealed) if is_sensitive(key) else (sealed, plain)
    for values in (wrong, ("x", b"\xffx"), (None, None)):
        with pytest.raises(asyncpg.CheckViolationError, match="instance_settings_kept_check"):
            await world.database.execute(insert, key, *values)
    await world.database.execute(insert, key, *right)
