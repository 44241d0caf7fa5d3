"""REST: the server about itself, and what its operators ask, as the contract states them."""

import asyncio
import platform
import re

import pytest

from models import migrations
from resolvers.oversight.system import released
from tests.every import each_of
from tests.live.sockets import client_of
from tests.oversight.system.scrapes import samples, scrape
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_health(world: World) -> None:
    answer = await world.rest(None, "GET", "/api/health")
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (
        200,
        "application/json",
        {"status": "ok"},
    )


async def test_a_process_that_lives_says_so(world: World) -> None:
    answer = await world.rest(None, "GET", "/healthz", workspace=None)
    found = answer.json()
    assert answer.status_code == 200
    assert re.fullmatch(r"(\d+h)?(\d+m)?\d+(\.\d)?m?s", found.pop("uptime"))
    assert found == {"status": "ok", "service": "crewshipd", "episodic": "sparse-only"}


async def test_a_process_that_can_work_says_so(world: World) -> None:
    answer = await world.rest(None, "GET", "/readyz", workspace=None)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"status": True, "checks": {"db": "ok", "state": "ok"}}


PATHS = [
    "/api/health",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/v1/system/setup-status",
    "/api/v1/system/telemetry",
    "/api/v1/system/version",
    "/api/v1/system/license",
    "/api/v1/crewshipd",
]


@each_of("path", PATHS)
async def test_head_and_other_methods(world: World, path: str) -> None:
    answer = await world.rest(world.viewer, "HEAD", path)
    assert (answer.status_code, answer.content) == (200, b"")
    answer = await world.rest(world.viewer, "POST", path, {})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_release_and_license(world: World) -> None:
    answer = await world.rest(world.nobody, "GET", "/api/v1/system/version", workspace=None)
    release = answer.json()
    known = {"current": released(), "latest": None, "newer": False, "url": None, "build_time": "", "dirty": False}
    assert {name: release[name] for name in known} == known
    assert (release["schema_version"], release["arch"]) == (migrations.number(migrations.head()), platform.machine())
    assert {*release} - {*known} == {"commit", "go_version", "os", "arch", "schema_version"}
    answer = await world.rest(world.nobody, "GET", "/api/v1/system/license", workspace=None)
    assert answer.json() == {
        "edition": "community", "license_id": "community", "licensee_org": "", "max_crews": 15,
        "max_agents_per_crew": 10, "max_members": 5, "features": []
    }  # fmt: skip
    for path in ("version", "license"):
        answer = await world.rest(None, "GET", f"/api/v1/system/{path}")
        assert (answer.status_code, answer.json()["error"]) == (401, "no_credentials")


@pytest.mark.slow
async def test_what_is_measured(world: World) -> None:
    before = samples((await scrape(world)).text)
    await world.rest(world.viewer, "GET", "/api/v1/labels")
    await world.rest(world.viewer, "POST", "/api/v1/labels", {"name": "n", "color": "c"})
    answer = await scrape(world)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = samples(answer.text)

    def grew(name: str) -> float:
        return found[name] - before.get(name, 0.0)

    assert grew('crewship_operations_total{code="OK",operation="labels.list"}') == 1
    assert grew('crewship_operations_total{code="FORBIDDEN",operation="labels.create"}') == 1
    assert grew('crewship_operation_seconds_count{operation="labels.list"}') == 1
    assert 0 < before["crewshipd_uptime_seconds"] < found["crewshipd_uptime_seconds"] < 600
    assert found["crewshipd_workers"] == 1
    assert found["crewshipd_db_migration_version"] == migrations.number(migrations.head())
    assert found['crewshipd_db_pool_connections{state="idle"}'] >= 1
    busy = 'crewshipd_db_pool_connections{state="busy"}'
    for _ in range(20):  # what works beside the requests holds one for a moment
        if not found[busy]:
            break
        found = samples((await scrape(world)).text)
    assert found[busy] == 0
    assert found["crewshipd_db_pool_waiting"] == 0
    assert found["process_resident_memory_bytes"] > 0


async def test_measurements_hold_no_secret_and_no_name(world: World) -> None:
    await world.rest(world.owner, "POST", "/api/v1/labels", {"name": "a name of somebody", "color": "c"})
    text = (await scrape(world)).text
    for secret in (world.owner.token, world.workspace.id, "a name of somebody", "the secret", world.owner.email):
        assert secret not in text


async def test_without_a_token_nobody_measures_from_elsewhere(world: World) -> None:
    for authorization in ("Bearer", "Bearer None", "Bearer a token of scrapers"):
        assert (await scrape(world, **{"x-forwarded-for": "10.0.0.1"}, authorization=authorization)).status_code == 404


async def test_the_engine_tells_how_many_are_connected(world: World) -> None:
    async def connections() -> int:
        answer = await world.rest(world.viewer, "GET", "/api/v1/crewshipd")
        found = answer.json()
        assert (answer.status_code, found.keys(), found["status"]) == (200, {"status", "uptime", "connections"}, "ok")
        assert re.fullmatch(r"(\d+h)?(\d+m)?\d+(\.\d)?m?s", found["uptime"])
        number: int = found["connections"]
        return number

    before = await connections()
    async with client_of(world, world.viewer) as client:
        await client.settle()
        assert await connections() == before + 1
    async with asyncio.timeout(10):
        while await connections() != before:
            await asyncio.sleep(0.02)


async def test_who_may_ask_the_engine(world: World) -> None:
    for person, workspace, status in ((None, "", 401), (world.viewer, None, 400), (world.nobody, "", 403)):
        answer = await world.rest(person, "GET", "/api/v1/crewshipd", workspace=workspace)
        assert answer.status_code == status
