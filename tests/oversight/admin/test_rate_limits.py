"""Limiters at run time: who changes them, which numbers they take, and that they limit at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from models.kernel import InstanceFact
from resolvers.instance.running import BOOTSTRAPPED, instance
from resolvers.instance.settings import Settings
from resolvers.kernel import Topic
from resolvers.kernel.store.bus import bus
from resolvers.oversight.admin.rate_limits import KINDS
from tests.every import each_of
from tests.people.auth.browsers import Browser, new_user
from tests.world import Person, World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/admin/rate-limits"
SET = "mutation($ws: ID) { setRateLimit(workspaceId: $ws, input: {key: %s, value: %s}) { key value overridden } }"


@pytest.fixture
async def ruled(world: World) -> AsyncIterator[World]:
    """The workspace is the first user's."""
    await world.add(InstanceFact(name=BOOTSTRAPPED, value=world.owner.user_id))
    yield world
    await world.database.execute("DELETE FROM instance_facts WHERE name = $1", BOOTSTRAPPED)
    await world.database.execute("DELETE FROM instance_settings")
    bus.ring(Topic.settings)
    await until(lambda: instance.settings == instance.configured)


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def put(world: World, key: str, body: Any, person: Person | None = None) -> httpx2.Response:
    return await world.rest(person or world.admin, "PUT", f"{PATH}/{key}", body)


async def listed(world: World) -> dict[str, Any]:
    answer = await world.rest(world.admin, "GET", PATH)
    assert answer.status_code == 200
    return {each["key"]: each for each in answer.json()["limiters"]}


def test_each_limiter_is_a_setting_that_holds_its_bounds() -> None:
    text = (Path(__file__).parents[2] / "contract/files/admin-newer.yaml").read_text()
    contract = yaml.safe_load(text)["behaviour"]["limiters"]
    assert [key for key in contract if key in KINDS] == list(KINDS), "in the contract's order, and no other key"
    for key, kind in KINDS.items():
        group, unit, _, least, most = contract[key]
        assert (kind.group, kind.unit, 1, kind.most) == (group, unit, least, most)
        assert Settings.model_fields[kind.setting].json_schema_extra == {"live": True}


async def test_limiters_are_listed_with_our_own_defaults(ruled: World) -> None:
    found = await listed(ruled)
    assert list(found) == list(KINDS)
    for key, each in found.items():
        configured = getattr(instance.configured, KINDS[key].setting)
        assert (each["default"], each["value"], each["overridden"]) == (configured, configured, False)
    fresh = {name: Settings.model_fields[kind.setting].default for name, kind in KINDS.items()}
    assert fresh == {
        "http.auth_per_min": 10, "http.api_per_min": 120, "http.cred_test_per_min": 60,
        "http.cred_reveal_per_min": 3,
        "login.lockout_threshold": 10, "login.lockout_duration_sec": 300,
        "provisioning.max_concurrent_per_ws": 8, "provisioning.max_starts_per_min": 20, "webhook.agent_per_min": 60,
    }  # fmt: skip


async def test_a_change_holds_at_once_and_is_stored_until_it_is_reset(ruled: World) -> None:
    default = instance.configured.ratelimit_webhooks
    answer = await put(ruled, "webhook.agent_per_min", {"value": 7})
    assert answer.status_code == 200
    assert answer.json() == (await listed(ruled))["webhook.agent_per_min"]
    assert (answer.json()["value"], answer.json()["overridden"], answer.json()["default"]) == (7, True, default)
    await until(lambda: instance.settings.ratelimit_webhooks == 7)
    kept = await ruled.database.fetchval("SELECT plain FROM instance_settings WHERE key = 'ratelimit_webhooks'")
    assert kept == "7"
    for _ in range(2):  # also without an override
        gone = await ruled.rest(ruled.admin, "DELETE", f"{PATH}/webhook.agent_per_min")
        assert (gone.status_code, gone.json()["value"], gone.json()["overridden"]) == (200, default, False)
    await until(lambda: instance.settings.ratelimit_webhooks == default)
    assert await ruled.database.fetchval("SELECT count(*) FROM instance_settings") == 0
    actions = [row["action"] for row in await ruled.audit()]
    assert actions[-3:] == ["instance_setting.set", "instance_setting.deleted", "instance_setting.deleted"]


async def test_graphql_sets_the_same(ruled: World) -> None:
    told = await ruled.graphql(ruled.admin, SET % ('"http.api_per_min"', 500))
    assert told["data"]["setRateLimit"] == {"key": "http.api_per_min", "value": 500, "overridden": True}
    assert (await listed(ruled))["http.api_per_min"]["value"] == 500


@each_of(
    ("key", "body"),
    [
        ("webhook.agent_per_min", {}),
        ("webhook.agent_per_min", {"value": 0}),
        ("webhook.agent_per_min", {"value": -1}),
        ("webhook.agent_per_min", {"value": 100_001}),
        ("webhook.agent_per_min", {"value": 2**31}),
        ("webhook.agent_per_min", {"value": 1.5}),
        ("webhook.agent_per_min", {"value": None}),
        ("webhook.agent_per_min", {"value": "many"}),
        ("webhook.agent_per_min", []),
        ("login.lockout_threshold", {"value": 1_001}),
        ("login.lockout_duration_sec", {"value": 86_401}),
    ],
)
async def test_a_number_out_of_range_is_refused(ruled: World, key: str, body: Any) -> None:
    before = await ruled.snapshot()
    assert (await put(ruled, key, body)).status_code == 400
    assert await ruled.snapshot() == before


async def test_an_unknown_limiter_is_missing_with_any_body(ruled: World) -> None:
    before = await ruled.snapshot()
    assert (await put(ruled, "ratelimit_api", {"value": "x"})).status_code == 404
    assert (await put(ruled, "pages.push_panel_burst", {"value": 3})).status_code == 404
    assert (await ruled.rest(ruled.admin, "DELETE", f"{PATH}/max_sockets")).status_code == 404
    assert await ruled.snapshot() == before


async def test_only_administrators_of_the_first_users_workspace_change_limits(ruled: World) -> None:
    before = await ruled.snapshot()
    for person in (ruled.manager, ruled.viewer):
        assert (await put(ruled, "webhook.agent_per_min", {"value": 5}, person)).status_code == 403
        assert (await ruled.rest(person, "GET", PATH)).status_code == 403
    there = await ruled.rest(
        ruled.outsider, "PUT", f"{PATH}/webhook.agent_per_min", {"value": 5}, workspace=ruled.other.id
    )
    assert there.status_code == 403, "an owner of another workspace, although instance_admins is on"
    assert await ruled.snapshot() == before


async def test_a_lockout_follows_its_limiter(ruled: World) -> None:
    await put(ruled, "login.lockout_threshold", {"value": 2})
    await put(ruled, "login.lockout_duration_sec", {"value": 60})
    await until(lambda: instance.settings.lockout_failures == 2 and instance.settings.lockout_seconds == 60)
    email = (await new_user(ruled)).email
    locked = "SELECT locked_until - now() FROM users WHERE email = $1"
    await Browser(ruled.url).log_in(email, "wrong")
    assert await ruled.database.fetchval(locked, email) is None
    await Browser(ruled.url).log_in(email, "wrong")
    assert 30 < (await ruled.database.fetchval(locked, email)).total_seconds() <= 60
