"""Settings that have an effect: in every process, before the environment, and by whom they may be changed."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from models.kernel import InstanceFact
from models.oversight.instance_settings import InstanceSetting
from resolvers.instance import live_settings
from resolvers.instance.running import BOOTSTRAPPED, instance
from resolvers.instance.settings import Settings, load_settings
from tests.conftest import Database
from tests.process.commands import Served, environment, serving
from tests.world import Person, World

pytestmark = pytest.mark.anyio
SETTINGS = "/api/v1/instance/settings"
SLACK = 5.0  # seconds, of which a busy machine needs most
WITHOUT_A_RING = "INSERT INTO instance_settings (id, key, plain) VALUES ('c' || md5($1), $1, $2)"


# ---- two processes ---------------------------------------------------------------------------------------------------


def client(served: Served, **headers: str) -> httpx2.Client:
    return httpx2.Client(base_url=f"http://127.0.0.1:{served.port}", headers=headers, trust_env=False, timeout=30)


@pytest.fixture
def pair(database: Database, tmp_path: Path) -> Iterator[tuple[httpx2.Client, httpx2.Client]]:
    """The first user at one process, anybody at another."""
    data_dir = tmp_path / "data"
    given = {
        "DATABASE_URL": database.url,
        "CREWSHIP_MIGRATION_DATABASE_URL": database.owner_url,
        "CREWSHIP_ROLE": "api",
        "CREWSHIP_RATELIMIT_API": "100000",
    }
    second = str(data_dir / "run" / "second.sock")
    with (
        serving(env=environment(data_dir, **given)) as one,
        serving(env=environment(data_dir, **given, CREWSHIP_SOCKET_PATH=second)) as other,
        client(one) as asking,
        client(other) as there,
    ):
        first = asking.post(
            "/api/v1/bootstrap", json={"email": "a@example.com", "full_name": "Ada", "password": "correct horse"}
        ).json()
        asking.headers["authorization"] = f"Bearer {first['cli_token']}"
        asking.headers["x-workspace-id"] = first["workspace_id"]
        yield asking, there


def soon(happens: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not happens():
        assert time.monotonic() - began < SLACK, "it did not happen in time"
        time.sleep(0.02)


def allows_signup(client: httpx2.Client) -> bool:
    return bool(client.get("/api/v1/system/setup-status").json()["allow_signup"])


def sign_up(client: httpx2.Client, name: str) -> int:
    body = {"email": f"{name}@example.com", "full_name": name.title(), "password": "correct horse"}
    return client.post("/api/v1/auth/signup", json=body).status_code


@pytest.mark.slow
def test_what_is_set_at_one_process_holds_in_the_other(pair: tuple[httpx2.Client, httpx2.Client]) -> None:
    here, there = pair
    assert (allows_signup(there), sign_up(there, "early")) == (False, 403)
    assert here.put(f"{SETTINGS}/allow_signup", json={"value": "true"}).status_code == 200
    soon(lambda: allows_signup(there) and allows_signup(here))
    assert sign_up(there, "bea") == 201
    assert here.delete(f"{SETTINGS}/allow_signup").status_code == 204
    soon(lambda: not (allows_signup(there) or allows_signup(here)))
    assert sign_up(there, "late") == 403


@pytest.mark.slow
async def test_a_lost_ring_costs_one_look(pair: tuple[httpx2.Client, httpx2.Client], database: Database) -> None:
    """Nobody rings for what is written past the operations."""
    here, there = pair
    conn = await asyncpg.connect(database.owner_url)
    try:
        await conn.execute(WITHOUT_A_RING, "ratelimit_api", "2")
        soon(lambda: there.get("/api/health").headers.get("x-ratelimit-limit") == "2")
        soon(lambda: here.get("/api/health").status_code == 429)
        await conn.execute("DELETE FROM instance_settings")
        for client in pair:
            soon(lambda client=client: client.get("/api/health").status_code == 200)  # type: ignore[misc]
    finally:
        await conn.close()


@pytest.mark.slow
def test_a_flag_is_on_in_the_other_process_at_once(pair: tuple[httpx2.Client, httpx2.Client]) -> None:
    """No process keeps a flag: whoever asks reads it."""
    here, there = pair
    there.headers |= {name: here.headers[name] for name in ("authorization", "x-workspace-id")}
    here.post("/api/v1/feature-flags", json={"key": "sails"}).raise_for_status()
    for enabled in (True, False, True):
        here.put("/api/v1/feature-flags/sails/override", json={"enabled": enabled}).raise_for_status()
        answer = there.post("/graphql", json={"query": "{ featureFlags { active } }"})
        assert answer.json()["data"] == {"featureFlags": [{"active": enabled}]}


# ---- what holds ------------------------------------------------------------------------------------------------------


def test_what_is_stored_goes_before_what_the_process_was_started_with() -> None:
    started = load_settings().model_copy(update={"ratelimit_api": 7, "allow_signup": False})
    now = live_settings.overridden(started, {"ratelimit_api": "9", "allow_signup": "yes"})
    assert (now.ratelimit_api, now.allow_signup, now.ratelimit_auth) == (9, True, started.ratelimit_auth)


@pytest.mark.parametrize(
    ("stored", "left"),
    [
        ({"ratelimit_api": "0"}, {"ratelimit_api": 7}),
        ({"ratelimit_api": "many", "max_sockets": "3"}, {"ratelimit_api": 7, "max_sockets": 3}),
        ({"allow_signup": "true"}, {"allow_signup": False}),  # strangers could run commands
    ],
)
def test_what_does_not_fit_this_process_is_left_out(stored: dict[str, str], left: dict[str, Any]) -> None:
    started = load_settings().model_copy(update={"ratelimit_api": 7, "unsafe_process": True, "allow_signup": False})
    now = live_settings.overridden(started, stored)
    assert now == started.model_copy(update=left)


def test_these_settings_are_live_and_others_need_a_restart() -> None:
    buckets = {f"ratelimit_{name}" for name in ("auth", "credential_test", "api", "pages", "builds", "webhooks")}
    buckets.add("ratelimit_credential_reveal")
    buckets |= {"lockout_failures", "lockout_seconds", "builds_at_once"}
    assert buckets | {"allow_signup", "max_sockets", "event_days", "frame_days"} == live_settings.NAMES
    assert not any("SecretStr" in str(Settings.model_fields[name].annotation) for name in live_settings.NAMES)


# ---- who may ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def founded(world: World) -> World:
    await world.add(InstanceFact(name=BOOTSTRAPPED, value=world.owner.user_id))
    return world


async def put(world: World, person: Person, key: str, value: str, workspace: str = "") -> int:
    answer = await world.rest(person, "PUT", f"{SETTINGS}/{key}", {"value": value}, workspace=workspace)
    return answer.status_code


async def test_the_first_users_workspaces_change_the_server_and_no_others(founded: World) -> None:
    world = founded
    assert await put(world, world.admin, "max_sockets", "5") == 200
    before = await world.snapshot()
    assert await put(world, world.outsider, "max_sockets", "6", world.other.id) == 403
    gone = await world.rest(world.outsider, "DELETE", f"{SETTINGS}/max_sockets", workspace=world.other.id)
    assert gone.status_code == 403
    assert await world.snapshot() == before
    assert await put(world, world.outsider, "max.sockets", "6", world.other.id) == 200, "which has no effect"
    assert await put(world, world.manager, "max_sockets", "6") == 403
    assert (await world.rest(world.admin, "DELETE", f"{SETTINGS}/max_sockets")).status_code == 204


async def test_a_value_that_cannot_hold_is_refused(founded: World) -> None:
    before = await founded.snapshot()
    for key, value in (("allow_signup", "maybe"), ("ratelimit_api", "0"), ("event_days", "1e9")):
        answer = await founded.rest(founded.admin, "PUT", f"{SETTINGS}/{key}", {"value": value})
        assert answer.status_code == 400
        assert "takes" in answer.json()["detail"]
    assert await founded.snapshot() == before


async def test_without_a_first_user_nobody_changes_the_server(founded: World) -> None:
    await founded.database.execute("DELETE FROM instance_facts WHERE name = $1", BOOTSTRAPPED)
    try:
        assert await put(founded, founded.owner, "allow_signup", "true") == 403
    finally:
        await founded.add(InstanceFact(name=BOOTSTRAPPED, value=founded.owner.user_id))


@pytest.mark.slow
async def test_a_limit_of_sockets_holds_for_the_next_one(founded: World) -> None:
    """What an operation asks for is what holds now, and again what the process was started with."""
    started = instance.settings.max_sockets
    await founded.add(InstanceSetting(key="max_sockets", plain="1"))
    for wanted in (1, started):
        deadline = time.monotonic() + SLACK
        while instance.settings.max_sockets != wanted:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await founded.database.execute("DELETE FROM instance_settings WHERE key = 'max_sockets'")
