"""Containers of crews that people start, stop and look at, in front of a server that answers as Docker's API does."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.running import instance
from runtime.containers.choice import EngineContainers
from runtime.containers.place import AGENT, CREW, INSTANCE, LAYOUT, WORKSPACE
from tests.containers.clusters import served
from tests.containers.docker_api import DockerApi
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
IMAGE = "registry.example/team/base:1"
DB = json.dumps([{"name": "db", "image": "postgres:18", "ports": ["5432", "9999"]}])


@dataclass
class Place:
    """A crew with an image and two agents, and the engine of its containers."""

    world: World
    api: DockerApi
    containers: EngineContainers
    crew: Crew
    agents: list[Agent]

    async def ask(self, method: str, route: str, who: Person | None = None, **more: Any) -> httpx2.Response:
        return await self.world.rest(who or self.world.manager, method, f"/api/v1/crews/{self.crew.id}/{route}", **more)

    async def get(self, route: str) -> Any:
        answer = await self.ask("GET", route, self.world.viewer)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def start(self) -> Any:
        answer = await self.ask("POST", "container-start")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def actions(self) -> list[str]:
        return [row["action"] for row in await self.world.audit() if row["entity_id"] == self.crew.id]


async def add_crew(world: World, agents: int = 2, **given: Any) -> tuple[Crew, list[Agent]]:
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug=new_id(), **given)
    await world.add(crew)
    made = [
        Agent(
            workspace_id=world.workspace.id,
            name="Ada",
            slug=f"ada-{new_id()}",
            crew_id=crew.id,
            created_at=now() - timedelta(minutes=agents - number),
        )
        for number in range(agents)
    ]
    await world.add(*made)
    return crew, made


@pytest.fixture
async def place(world: World) -> AsyncIterator[Place]:
    crew, agents = await add_crew(world, runtime_image=IMAGE, services_json=DB, container_memory_mb=512)
    api = DockerApi()
    api.images = {IMAGE: ["sha256:1"], "postgres:18": ["sha256:9"]}
    async with served(api.app()) as port:
        instance.containers = containers = EngineContainers(world.settings, f"http://localhost:{port}")
        yield Place(world, api, containers, crew, agents)
        instance.containers = None
        await containers.engine.close()


async def test_each_agent_gets_its_container_and_a_second_start_changes_nothing(place: Place) -> None:
    begun = await place.start()
    first = next(id for id, each in place.api.containers.items() if each["Name"].endswith(place.agents[0].id))
    assert begun == {
        "crew_id": place.crew.id, "slug": place.crew.slug, "container_id": first, "status": "running",
    }  # fmt: skip
    assert place.api.states() == {"db": "running", **{agent.id: "running" for agent in place.agents}}
    known = set(place.api.containers)
    assert (await place.start())["container_id"] == first
    assert set(place.api.containers) == known
    assert await place.actions() == ["crew.containers_started"] * 2


async def test_what_runs_is_shown_with_its_use_and_its_limits(place: Place) -> None:
    await place.start()
    status = await place.get("container-status")
    assert status == {
        "crew_id": place.crew.id, "status": "running", "uptime": "2026-12-02T10:00:00Z", "runtime_contract": "current",
        "configured_memory_mb": 512, "configured_cpus": 2.0, "effective_memory_mb": 512, "effective_cpus": 2.0,
    }  # fmt: skip
    listed = (await place.get("containers"))["containers"]
    assert [each["name"] for each in listed] == sorted(each["name"] for each in listed)
    assert sorted((each["kind"], each["image"], each["agent_count"]) for each in listed if each["agent_count"]) == [
        ("crew", IMAGE, 1), ("crew", IMAGE, 1),
    ]  # fmt: skip
    assert [(each["image"], each["agent_count"]) for each in listed if each["kind"] == "sidecar"] == [
        ("postgres:18", None)
    ]
    assert {(each["status"], each["cpu_percent"], each["memory_mb"]) for each in listed} == {("running", 40.0, 64)}
    assert await place.get("services") == {
        "services": [
            {
                "name": "db", "image": "postgres:18", "type": "postgres", "status": "running",
                "ports": ["5432/tcp", "9999/tcp"],
            }
        ]
    }  # fmt: skip


async def test_a_stopped_crew_stays_stopped_until_it_is_started(place: Place) -> None:
    await place.start()
    for _ in range(2):
        stopped = await place.ask("POST", "container-stop")
        assert (stopped.status_code, stopped.json()) == (
            200,
            {"crew_id": place.crew.id, "slug": place.crew.slug, "status": "stopped"},
        )
    assert set(place.api.states().values()) == {"exited"}
    status = await place.get("container-status")
    assert (status["status"], status.keys() & {"uptime", "effective_cpus"}) == ("stopped", set())
    listed = (await place.get("containers"))["containers"]
    assert {(each["status"], each["cpu_percent"]) for each in listed} == {("stopped", None)}
    assert await place.containers.pending() == {}
    await place.start()
    assert set(place.api.states().values()) == {"running"}
    assert await place.actions() == [
        "crew.containers_started", "crew.containers_stopped", "crew.containers_stopped", "crew.containers_started",
    ]  # fmt: skip


async def test_settings_that_were_changed_since_are_told(place: Place) -> None:
    await place.start()
    await place.world.rest(
        place.world.admin,
        "PATCH",
        f"/api/v1/crews/{place.crew.id}",
        {"container_memory_mb": 1024, "container_cpus": 1.5},
    )
    status = await place.get("container-status")
    assert (status["configured_memory_mb"], status["effective_memory_mb"]) == (1024, 512)
    assert status["config_drift"] == [
        {"field": "container_memory_mb", "configured": 1024.0, "effective": 512.0},
        {"field": "container_cpus", "configured": 1.5, "effective": 2.0},
    ]
    for each in place.api.containers.values():
        each["Config"]["Labels"][LAYOUT] = "1"
    assert (await place.get("container-status"))["runtime_contract"] == "stale"
    await place.start()
    status = await place.get("container-status")
    assert (status["runtime_contract"], "config_drift" in status) == ("current", False)


async def test_what_does_not_start_is_in_the_notices_and_nothing_at_all_is_a_failure(place: Place) -> None:
    place.api.stuck = place.agents[0].id
    del place.api.images["postgres:18"]
    begun = await place.start()
    assert place.api.states() == {place.agents[1].id: "running"}
    assert begun["container_id"] in place.api.containers
    service, agent = begun["notices"]
    assert service.startswith("The service db does not run: The container engine answered 0: manifest for postgres:18")
    assert agent.startswith(f"The container of {place.agents[0].slug} did not start: The container engine answered 500")
    place.api.containers.clear()
    place.api.stuck = "crewship"
    failed = await place.ask("POST", "container-start")
    assert failed.status_code == 502
    assert "no space left on device" in failed.json()["error"]
    assert await place.actions() == ["crew.containers_started"]


async def test_a_crew_that_has_nothing_to_start_is_refused(place: Place) -> None:
    world = place.world
    plain, _ = await add_crew(world)
    empty, _ = await add_crew(world, 0, runtime_image=IMAGE)
    before = await world.snapshot()
    for crew, status, words in ((plain, 503, "has no image"), (empty, 502, "has no agent")):
        refused = await world.rest(world.manager, "POST", f"/api/v1/crews/{crew.id}/container-start")
        assert (refused.status_code, words in refused.json()["error"]) == (status, True), refused.text
    assert place.api.containers == {}
    assert await world.snapshot() == before


async def test_a_crew_whose_image_must_be_built_begins_the_build(place: Place) -> None:
    world = place.world
    config = '{"image": "debian:13", "postCreateCommand": "true"}'
    crew, _ = await add_crew(world, devcontainer_config=config)
    builds = set[str]()
    for _ in range(2):
        refused = await world.rest(world.manager, "POST", f"/api/v1/crews/{crew.id}/container-start")
        assert (refused.status_code, refused.json()["status"]) == (502, "pending"), refused.text
        build = json.loads(await world.database.fetchval("SELECT build::text FROM crews WHERE id = $1", crew.id))
        builds.add(build["id"])
    assert len(builds) == 1, "the second call waits for the same build"
    assert place.api.containers == {}
    await world.database.execute("UPDATE crews SET build = NULL WHERE id = $1", crew.id)


async def test_an_engine_that_does_not_answer(place: Place) -> None:
    await place.containers.engine.close()
    place.containers.engine.address = "http://localhost:1"
    before = await place.world.snapshot()
    assert await place.get("container-status") == {
        "crew_id": place.crew.id, "status": "unknown", "configured_memory_mb": 512, "configured_cpus": 2.0,
    }  # fmt: skip
    asked = [("GET", route) for route in ("containers", "services", "image-status")]
    for method, route in [*asked, ("POST", "container-start"), ("POST", "container-stop"), ("POST", "refresh-image")]:
        failed = await place.ask(method, route)
        assert failed.status_code == 502, route
        assert "The container engine does not answer" in failed.json()["error"]
    assert await place.world.snapshot() == before


async def test_a_crew_without_containers_is_unknown(place: Place) -> None:
    assert (await place.get("container-status"))["status"] == "unknown"
    assert (await place.get("containers"), await place.get("services")) == ({"containers": []}, {"services": []})


ROUTES = {
    "container-status": "GET", "containers": "GET", "services": "GET", "image-status": "GET",
    "container-start": "POST", "container-stop": "POST", "refresh-image": "POST",
}  # fmt: skip


async def test_nobody_reaches_the_containers_of_another_workspace(place: Place) -> None:
    await place.start()
    other = place.world.other.id
    for route, method in ROUTES.items():
        for id in (place.crew.id, "cnone0000000000000000000"):
            path = f"/api/v1/crews/{id}/{route}"
            foreign = await place.world.rest(place.world.outsider, method, path, workspace=other)
            assert (foreign.status_code, foreign.json()["error"].lower()) == (404, "crew not found"), path
        assert (await place.ask(method, route, place.world.outsider)).status_code == 403
        if method == "POST":
            assert (await place.ask(method, route, place.world.member)).status_code == 403
    assert set(place.api.states().values()) == {"running"}


async def test_without_an_engine(world: World) -> None:
    crew, _ = await add_crew(world, runtime_image=IMAGE)
    before, path = await world.snapshot(), f"/api/v1/crews/{crew.id}"
    status = await world.rest(world.viewer, "GET", f"{path}/container-status")
    assert status.json() == {
        "crew_id": crew.id, "status": "not_configured", "configured_memory_mb": 4096, "configured_cpus": 2.0,
    }  # fmt: skip
    assert (await world.rest(world.viewer, "GET", f"{path}/containers")).json() == {"containers": []}
    assert (await world.rest(world.viewer, "GET", f"{path}/services")).json() == {"services": []}
    for route, method, expected in (
        ("image-status", "GET", 503), ("container-start", "POST", 503), ("container-stop", "POST", 502),
        ("refresh-image", "POST", 503),
    ):  # fmt: skip
        assert (await world.rest(world.manager, method, f"{path}/{route}")).status_code == expected, route
    for route, method in ROUTES.items():
        unknown = await world.rest(world.manager, method, f"/api/v1/crews/cnone0000000000000000000/{route}")
        assert unknown.status_code == 404, route
    assert await world.snapshot() == before


async def test_the_same_over_graphql(place: Place) -> None:
    world, of = place.world, {"crew": place.crew.id}
    start = "mutation ($crew: ID!, $ws: ID) { startCrewContainer(workspaceId: $ws, input: {crewId: $crew}) { status } }"
    assert (await world.graphql(world.viewer, start, of))["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    begun = await world.graphql(world.manager, start, of)
    assert begun["data"]["startCrewContainer"] == {"status": "running"}
    asked = """query ($crew: ID!, $ws: ID) {
        crewContainerStatus(workspaceId: $ws, crewId: $crew) { status effectiveMemoryMb configDrift { field } }
        crewContainers(workspaceId: $ws, crewId: $crew) { containers { kind cpuPercent } }
        crewServices(workspaceId: $ws, crewId: $crew) { services { name type } }
        crewImageStatus(workspaceId: $ws, crewId: $crew) { running reason behind } }"""
    shown = (await world.graphql(world.viewer, asked, of))["data"]
    assert shown["crewContainerStatus"] == {"status": "running", "effectiveMemoryMb": 512, "configDrift": None}
    assert {each["kind"] for each in shown["crewContainers"]["containers"]} == {"crew", "sidecar"}
    assert shown["crewServices"] == {"services": [{"name": "db", "type": "postgres"}]}
    assert shown["crewImageStatus"] == {"running": True, "reason": "registry unreachable", "behind": False}
    place.api.registry[IMAGE] = "sha256:2"
    of_crew = "(workspaceId: $ws, input: {crewId: $crew})"
    both = f"""mutation ($crew: ID!, $ws: ID) {{
        refreshCrewImage{of_crew} {{ newDigest containerRemoved }} stopCrewContainer{of_crew} {{ status }} }}"""
    done = (await world.graphql(world.manager, both, of))["data"]
    assert done["refreshCrewImage"] == {"newDigest": "sha256:2", "containerRemoved": True}
    assert done["stopCrewContainer"] == {"status": "stopped"}


async def test_an_image_is_compared_with_its_registry(place: Place) -> None:
    async def shown() -> Any:
        """The container is that of one of the agents."""
        status = await place.get("image-status")
        assert bool(status["container_id"]) is status["running"]
        assert status.pop("container_id") in {"", *place.api.containers}
        return status

    status = {"crew_id": place.crew.id, "image": IMAGE, "running": False}
    unknown = {"running_digest": "", "resolved_digest": "", "behind": False}
    assert await shown() == status | unknown | {"reason": "no container"}
    assert not [path for path in place.api.asked if "distribution" in path]
    await place.start()
    runs = status | unknown | {"running": True, "running_digest": "sha256:1"}
    assert await shown() == runs | {"reason": "registry unreachable"}
    place.api.registry[IMAGE] = "sha256:1"
    assert await shown() == runs | {"resolved_digest": "sha256:1", "reason": ""}
    place.api.registry[IMAGE] = "sha256:2"
    assert await shown() == runs | {"resolved_digest": "sha256:2", "behind": True, "reason": ""}
    place.api.images[IMAGE] = []
    assert await shown() == runs | {"running_digest": "", "reason": "image has no registry digest"}


async def test_a_refresh_pulls_before_it_removes(place: Place) -> None:
    await place.start()
    before = dict(place.api.containers)
    failed = await place.ask("POST", "refresh-image")
    assert (failed.status_code, "manifest for" in failed.json()["error"]) == (502, True)
    assert place.api.containers == before
    place.api.registry[IMAGE] = "sha256:2"
    place.api.asked.clear()
    refreshed = await place.ask("POST", "refresh-image")
    assert (refreshed.status_code, refreshed.json()) == (
        200,
        {
            "crew_id": place.crew.id, "image": IMAGE, "previous_digest": "sha256:1", "new_digest": "sha256:2",
            "container_removed": True,
        },
    )  # fmt: skip
    assert place.api.states() == {"db": "running"}
    pulled = place.api.asked.index("POST /images/create")
    assert all("DELETE" not in path for path in place.api.asked[:pulled])
    again = await place.ask("POST", "refresh-image")
    assert again.json()["container_removed"] is False
    assert await place.actions() == ["crew.containers_started", *["crew.image_refreshed"] * 2]


async def test_an_image_that_was_built_here_is_neither_compared_nor_pulled(place: Place) -> None:
    world, image = place.world, "crewship-cache:1"
    place.api.images[image] = ["sha256:5"]
    await world.database.execute("UPDATE crews SET cached_image = $2 WHERE id = $1", place.crew.id, image)
    await place.start()
    place.api.asked.clear()
    assert (await place.get("image-status"))["reason"] == "locally built image"
    refused = await place.ask("POST", "refresh-image")
    assert (refused.status_code, "rebuild it" in refused.json()["error"]) == (502, True)
    assert not [path for path in place.api.asked if "distribution" in path or not path.startswith("GET")]


async def test_containers_of_another_server_are_reported_and_removed_on_request(place: Place) -> None:
    await place.start()
    world = place.world
    labels = {WORKSPACE: world.workspace.id, CREW: place.crew.id, AGENT: place.agents[0].id, INSTANCE: "elsewhere"}
    orphan = place.api.put("orphan", labels)
    place.api.put("stopped", labels, state="exited")
    place.api.put("nobody", labels | {CREW: "cnone"})
    place.api.put("other", labels | {WORKSPACE: world.other.id})
    path = "/api/v1/admin/reap-orphan-containers"
    found = {"crew_id": place.crew.id, "slug": place.crew.slug, "container_id": orphan}
    counts = {"count": 1, "inspected": 5, "identified": 4, "detector_inert": False}
    kept = set(place.api.containers)
    assert (await world.rest(world.manager, "POST", path)).status_code == 403
    async with world.client(world.admin) as client:
        for asked, applied in (("", False), ("yes", False), ("true", True)):
            answer = await client.post(path, params={"workspace_id": world.workspace.id, "apply": asked})
            orphans = [found | {"reaped": applied}]
            assert (answer.status_code, answer.json()) == (200, counts | {"orphans": orphans, "applied": applied})
            assert (orphan in place.api.containers) is not applied
    assert set(place.api.containers) == kept - {orphan}
    told = [row for row in await world.audit() if row["action"] == "workspace.orphan_containers_removed"]
    assert [(row["data"]["orphans"], row["data"]["removed"]) for row in told[-3:]] == [(1, 0), (1, 0), (1, 1)]
    reap = "mutation ($ws: ID) { reapOrphanContainers(workspaceId: $ws, input: {}) { count detectorInert } }"
    assert (await world.graphql(world.admin, reap))["data"]["reapOrphanContainers"] == {
        "count": 0, "detectorInert": False,
    }  # fmt: skip
